// Included by both twins, which differ in TWIN only.
#include <string>

#include "twins.h"

namespace {

std::string where(int number) {
  return std::string(TWIN) + std::to_string(number);
}
int same_code(int x) {
  return x + 1;
}

}  // namespace

#define TWIN_CALL_2(name) call_twin_##name
#define TWIN_CALL(name) TWIN_CALL_2(name)

std::string TWIN_CALL(TWIN_NAME)(knee::Cluster& cluster) {
  auto function = cluster.call<where>(1);
  auto lambda = cluster.call([](int number) { return TWIN "l" + std::to_string(number); }, 2);
  // The linker may fold these two, and those of the other twin, into one.
  auto folded = cluster.call<same_code>(3);
  auto also_folded = cluster.call([](int x) { return x + 1; }, 4);
  return function.get() + " " + lambda.get() + " " + std::to_string(folded.get()) + " " +
         std::to_string(also_folded.get());
}
