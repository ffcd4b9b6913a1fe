// The NAS Parallel Benchmark EP:  nas_ep [--class S|W|A|B] [--tasks N]
// Every task is a block of one long stream of random numbers, so the sums do not depend on how it
// is cut up (but for rounding), and the published sums say whether all is right. Exit code 0: they
// agree.
#include <knee/knee.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <system_error>

#include "ep.h"

struct Settings {
  char letter = 'W';
  std::uint64_t tasks = 512;
};

// False if the command line makes no sense.
bool read_settings(int argc, char** argv, Settings& settings) {
  for (int i = 1; i < argc; i += 2) {
    const std::string_view option = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (option == "--class" && value.size() == 1) {
      settings.letter = value[0];
    } else if (option == "--tasks") {
      const auto end = value.data() + value.size();
      const auto [stop, error] = std::from_chars(value.data(), end, settings.tasks);
      if (error != std::errc() || stop != end || settings.tasks == 0) return false;
    } else {
      return false;
    }
  }
  return ep::find_class(settings.letter).has_value();
}

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  Settings settings;
  if (!read_settings(argc, argv, settings)) {
    std::fprintf(stderr, "usage: %s [--class S|W|A|B] [--tasks N]\n", argv[0]);
    return 2;
  }
  const ep::Class problem = *ep::find_class(settings.letter);
  // Block i is [i * pairs / tasks, (i + 1) * pairs / tasks).
  const std::uint64_t tasks = std::min(settings.tasks, problem.pairs);
  const auto start_of = [&](std::uint64_t i) {
    return i * (problem.pairs / tasks) + std::min(i, problem.pairs % tasks);
  };

  const auto begin = std::chrono::steady_clock::now();
  ep::Tally total;
  auto bag = cluster.bag({.name = "nas_ep"});
  for (std::uint64_t i = 0; i < tasks; ++i)
    bag.call<ep::tally>(start_of(i), start_of(i + 1) - start_of(i))
        .then([&](const ep::Tally& block) { total += block; });
  bag.wait();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;

  std::printf("class %c: 2^%d pairs in %llu tasks\n", settings.letter,
              static_cast<int>(std::log2(static_cast<double>(problem.pairs))),
              static_cast<unsigned long long>(tasks));
  std::printf("sums    %.15e %.15e\n", total.sum_x, total.sum_y);
  for (std::size_t ring = 0; ring < total.counts.size(); ++ring)
    if (total.counts[ring] != 0)
      std::printf("ring %zu  %llu\n", ring, static_cast<unsigned long long>(total.counts[ring]));
  std::printf("time    %.3f s, %.3e pairs/s\n", elapsed.count(),
              static_cast<double>(problem.pairs) / elapsed.count());
  const bool right = ep::verified(total, problem);
  std::printf("verification %s\n", right ? "SUCCESSFUL" : "FAILED");
  return right ? 0 : 1;
}
