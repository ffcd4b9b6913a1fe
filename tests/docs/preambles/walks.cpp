#include <knee/knee.h>

#include <chrono>
#include <cstdint>
#include <iostream>
#include <map>
#include <ranges>
#include <string>
#include <vector>

struct Walk {
  int steps = 0;
  std::uint64_t seed = 0;
};

struct Size {
  int steps = 0;
  double squared = 0;
  std::uint64_t kept = 0;
};

Size measure(Walk walk);
void save(const std::string& content);

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  auto bag = cluster.bag();
  {
    // BLOCK
  }
  bag.wait();
}
