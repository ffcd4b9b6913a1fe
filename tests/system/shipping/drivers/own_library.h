#pragma once

#include <knee/knee.h>

std::string greeting();
std::string call_library(knee::Cluster& cluster);
