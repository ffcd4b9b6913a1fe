#pragma once

#include <knee/knee.h>

/// Two files with equal-named static functions and lambdas of equal types.
std::string call_twin_a(knee::Cluster& cluster);
std::string call_twin_b(knee::Cluster& cluster);

/// Where they have a static function that is the same in both.
using SameCode = int (*)(int);
SameCode same_code_of_twin_a();
SameCode same_code_of_twin_b();

/// The error of a task that throws, which is the same in both but for its name: fails_in_a,
/// fails_in_b.
std::string failure_of_twin_a(knee::Cluster& cluster);
std::string failure_of_twin_b(knee::Cluster& cluster);
