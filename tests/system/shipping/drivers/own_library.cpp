// A shared library of the driver's own, with tasks of its own.
#include "own_library.h"

#ifndef GREETING
#define GREETING "right"
#endif

namespace {

std::string task_in_library(int number) {
  return greeting() + std::to_string(number);
}

}  // namespace

std::string greeting() {
  return GREETING;
}

std::string call_library(knee::Cluster& cluster) {
  auto function = cluster.call<task_in_library>(1);
  auto lambda = cluster.call([] { return greeting(); });
  return function.get() + " " + lambda.get();
}
