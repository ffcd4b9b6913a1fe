// Estimates pi by throwing darts at a square, a million per task.
#include <knee/knee.h>

#include <cstdint>
#include <iostream>
#include <random>

double estimate_pi(std::uint64_t seed, std::uint64_t samples) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> coordinate(-1, 1);
  std::uint64_t inside = 0;
  for (std::uint64_t i = 0; i < samples; ++i) {
    const double x = coordinate(random), y = coordinate(random);
    if (x * x + y * y < 1) ++inside;
  }
  return 4.0 * static_cast<double>(inside) / static_cast<double>(samples);
}

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);  // --knee-slaves gandalf,frodo; default: this machine's cores
  double sum = 0;                     // what callbacks use is declared before the bag
  auto bag = cluster.bag({.name = "pi"});
  for (std::uint64_t seed = 0; seed < 1000; ++seed)
    bag.call<estimate_pi>(seed, 1'000'000).then([&](double x) { sum += x; });
  bag.wait();  // shows progress on a terminal; throws if a task failed for good
  std::cout << sum / 1000 << '\n';
}
