// Tasks that call back: each searches a part of the numbers for primes of a certain kind, hands
// over what it finds as it finds it, and is told whether to go on.
//   remote_map [LIMIT [ENOUGH]]

#include <knee/knee.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <set>

namespace {

bool is_prime(std::uint64_t n) {
  if (n % 2 == 0) return n == 2;
  for (std::uint64_t i = 3; i * i <= n; i += 2)
    if (n % i == 0) return false;
  return n > 1;
}

/// Pairs of primes that differ by 2. `found` is told of each; false ends the search. Gives how many
/// numbers were searched.
std::uint64_t search(std::uint64_t from, std::uint64_t to,
                     const knee::Function<bool(std::uint64_t)>& found) {
  for (auto n = from; n < to; ++n) {
    if (!is_prime(n) || !is_prime(n + 2)) continue;
    if (!found(n)) return n + 1 - from;
  }
  return to - from;
}

}  // namespace

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  const std::uint64_t limit = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 20'000;
  const std::size_t enough = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 100;

  // Callbacks run one at a time, on one thread.
  std::set<std::uint64_t> pairs;
  std::uint64_t searched = 0;
  const auto found = [&](std::uint64_t n) {
    if (pairs.size() < enough) pairs.insert(n);
    return pairs.size() < enough;
  };

  auto bag = cluster.bag({.name = "twin primes"});
  constexpr std::uint64_t kPart = 1000;
  for (std::uint64_t from = 0; from < limit; from += kPart)
    bag.call<search>(from, std::min(from + kPart, limit), found).then([&](std::uint64_t n) {
      searched += n;
    });
  bag.wait();

  std::cout << pairs.size() << " pairs";
  if (!pairs.empty())
    std::cout << ", the last of them " << *pairs.rbegin() << " and " << *pairs.rbegin() + 2;
  std::cout << '\n' << searched << " of " << limit << " numbers searched\n";
}
