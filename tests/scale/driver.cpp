// A driver that scripts/scale starts: when so many slots are there, a bag of tiny tasks, each of
// whose results is checked.
//   knee_scale_driver SLOTS TASKS [--knee-...]

#include <knee/knee.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

/// Not its argument, so that an argument sent back is no result.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

/// Of the clock that all processes of a machine share.
double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  if (argc != 3) {
    std::fputs("usage: knee_scale_driver SLOTS TASKS [--knee-...]\n", stderr);
    return 2;
  }
  const std::uint64_t slots = std::strtoull(argv[1], nullptr, 10);
  const std::uint64_t tasks = std::strtoull(argv[2], nullptr, 10);
  while (cluster.slots() < slots) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const double began = now();
  std::vector<bool> came(tasks);
  std::uint64_t wrong = 0;
  std::uint64_t twice = 0;
  auto bag = cluster.bag();
  for (std::uint64_t i = 0; i < tasks; ++i)
    bag.call<mix>(i).then([&, i](std::uint64_t result) {
      wrong += result != mix(i);
      twice += came[i];
      came[i] = true;
    });
  bag.wait();
  std::uint64_t missing = 0;
  for (const bool one : came) missing += !one;
  std::printf(
      "{\"began\": %.3f, \"ended\": %.3f, \"wrong\": %llu, \"twice\": %llu, \"missing\": %llu}\n",
      began, now(), static_cast<unsigned long long>(wrong), static_cast<unsigned long long>(twice),
      static_cast<unsigned long long>(missing));
  return wrong + twice + missing == 0 ? 0 : 1;
}
