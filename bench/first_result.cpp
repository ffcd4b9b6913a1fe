// A driver of typical size that makes one call; `start` times it.

#include <knee/knee.h>

#include <cstdio>

namespace {

std::uint64_t twice(std::uint64_t value) {
  return 2 * value;
}

}  // namespace

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  std::printf("%llu\n", static_cast<unsigned long long>(cluster.call<twice>(21).get()));
  std::fflush(stdout);
}
