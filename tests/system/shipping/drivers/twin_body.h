// Included by both twins, which differ in TWIN and TWIN_NAME only.
#include <stdexcept>
#include <string>

#include "twins.h"

#define TWIN_JOIN_2(first, second) first##second
#define TWIN_JOIN(first, second) TWIN_JOIN_2(first, second)

namespace {

std::string where(int number) {
  return std::string(TWIN) + std::to_string(number);
}
int same_code(int x) {
  return x + 1;
}
int TWIN_JOIN(fails_in_, TWIN_NAME)(int x) {
  throw std::runtime_error("no root of " + std::to_string(x));
}

}  // namespace

std::string TWIN_JOIN(call_twin_, TWIN_NAME)(knee::Cluster& cluster) {
  auto function = cluster.call<where>(1);
  auto lambda = cluster.call([](int number) { return TWIN "l" + std::to_string(number); }, 2);
  // The linker may fold these two, and those of the other twin, into one.
  auto folded = cluster.call<same_code>(3);
  auto also_folded = cluster.call([](int x) { return x + 1; }, 4);
  return function.get() + " " + lambda.get() + " " + std::to_string(folded.get()) + " " +
         std::to_string(also_folded.get());
}

SameCode TWIN_JOIN(same_code_of_twin_, TWIN_NAME)() {
  return same_code;
}

std::string TWIN_JOIN(failure_of_twin_, TWIN_NAME)(knee::Cluster& cluster) {
  try {
    return std::to_string(cluster.call<TWIN_JOIN(fails_in_, TWIN_NAME)>(-1).get());
  } catch (const knee::Error& error) {
    return error.what();
  }
}
