#include "common/process/descriptor.h"

#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <utility>

using namespace knee::process;

namespace {

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

}  // namespace

TEST_CASE("a descriptor is closed by its last owner") {
  int number = -1;
  {
    Descriptor first(::open("/", O_RDONLY | O_CLOEXEC));
    number = first.get();
    Descriptor second(std::move(first));
    CHECK(first.get() == -1);
    Descriptor third;
    third = std::move(second);
    CHECK(third.get() == number);
    CHECK(is_open(number));
  }
  CHECK_FALSE(is_open(number));
}

TEST_CASE("an empty input is at its end at once") {
  const auto input = open_empty_input();
  char byte = 0;
  CHECK(::read(input.get(), &byte, 1) == 0);
}
