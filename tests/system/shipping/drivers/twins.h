#pragma once

#include <knee/knee.h>

/// Two files with equal-named static functions and lambdas of equal types.
std::string call_twin_a(knee::Cluster& cluster);
std::string call_twin_b(knee::Cluster& cluster);
