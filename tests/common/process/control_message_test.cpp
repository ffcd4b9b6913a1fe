#include "common/process/control_message.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <system_error>

using namespace knee::process;

namespace {

struct Pair {
  explicit Pair(int type = SOCK_SEQPACKET) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
    slave = Descriptor(ends[0]);
    keeper = Descriptor(ends[1]);
  }
  Descriptor slave;
  Descriptor keeper;
};

}  // namespace

TEST_CASE("a plan of many megabytes and 251 descriptors crosses the socket") {
  Pair pair;
  SpawnPlan plan;
  plan.executable = "program";
  plan.executable_fd = pair.slave.get();
  plan.environment.assign(100, std::string(100'000, 'e'));
  for (int i = 0; i < 251; ++i) plan.descriptors.push_back({pair.slave.get(), 3 + i});
  send_plan(pair.slave.get(), plan);
  const auto received = receive_plan(pair.keeper.get());
  REQUIRE(received);
  CHECK(received->slave == ::getpid());
  CHECK(received->plan.environment == plan.environment);
  CHECK(received->plan.descriptors.size() == 251);
  CHECK(received->descriptors.size() == 253);
  for (const auto& descriptor : received->descriptors) {
    CHECK((::fcntl(descriptor.get(), F_GETFD) & FD_CLOEXEC) != 0);
  }
}

TEST_CASE("a keeper whose slave went before the plan came gets none") {
  Pair pair;
  pair.slave.reset();
  CHECK_FALSE(receive_plan(pair.keeper.get()));
}

TEST_CASE("something else on the control descriptor is refused") {
  Pair pair;
  REQUIRE(::send(pair.slave.get(), "0123456789abcdef", 16, 0) == 16);
  CHECK_THROWS_AS(receive_plan(pair.keeper.get()), std::system_error);
  const Descriptor folder(::open("/", O_RDONLY | O_CLOEXEC));
  CHECK_THROWS_WITH(receive_plan(folder.get()), Catch::Contains("only knee-slave itself"));
}
