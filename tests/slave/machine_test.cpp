#include "slave/machine.h"

#include <sched.h>
#include <catch2/catch.hpp>

#include <thread>
#include <vector>

using namespace knee::slave;

namespace {

const char* const kHybrid =
    "12:memory:/user.slice/job_7\n"
    "4:cpu,cpuacct:/batch\n"
    "1:name=systemd:/user.slice\n"
    "0::/user.slice/user-1000.slice/session-1.scope\n";

using Paths = std::vector<std::string>;

}  // namespace

TEST_CASE("a process's v2 group, and those above it, which bind it as well") {
  CHECK(cgroup::paths(kHybrid, "") == Paths{"/user.slice/user-1000.slice/session-1.scope",
                                            "/user.slice/user-1000.slice", "/user.slice", ""});
}

TEST_CASE("a controller's v1 group, alone or mounted with another") {
  CHECK(cgroup::paths(kHybrid, "memory") == Paths{"/user.slice/job_7", "/user.slice", ""});
  CHECK(cgroup::paths(kHybrid, "cpu") == Paths{"/batch", ""});
  CHECK(cgroup::paths(kHybrid, "cpuacct") == Paths{"/batch", ""});
  CHECK(cgroup::paths(kHybrid, "cpuset") == Paths{""});
}

TEST_CASE("in a container the group is the root") {
  CHECK(cgroup::paths("0::/\n", "") == Paths{""});
}

TEST_CASE("what the kernel never wrote is the root as well") {
  for (const char* text : {"", "\n", "garbage", "1:x", "0::", "0::relative\n", ":::\n"})
    CHECK(cgroup::paths(text, "").back().empty());
}

TEST_CASE("paths with colons are whole") {
  CHECK(cgroup::paths("0::/docker/a:b\n", "").front() == "/docker/a:b");
}

TEST_CASE("cpu.max: a quota per period, or none") {
  CHECK(cgroup::cpu_max("150000 100000\n") == Approx(1.5));
  CHECK(cgroup::cpu_max("max 100000\n") == 0);
  CHECK(cgroup::cpu_max("") == 0);
  CHECK(cgroup::cpu_max("100000") == 0);
  CHECK(cgroup::cpu_max("100000 0") == 0);
  CHECK(cgroup::cpu_max("-1 100000") == 0);
}

TEST_CASE("cpu.cfs_quota_us: -1 is none") {
  CHECK(cgroup::cfs_quota("200000\n", "100000\n") == Approx(2));
  CHECK(cgroup::cfs_quota("-1\n", "100000\n") == 0);
  CHECK(cgroup::cfs_quota("", "") == 0);
  CHECK(cgroup::cfs_quota("200000", "") == 0);
}

TEST_CASE("memory limits: bytes, or none") {
  CHECK(cgroup::memory_limit("1073741824\n") == 1073741824);
  CHECK(cgroup::memory_limit("max\n") == 0);
  CHECK(cgroup::memory_limit("") == 0);
}

TEST_CASE("meminfo's kilobytes are bytes") {
  const auto memory = meminfo(
      "MemTotal:       16384 kB\nMemFree:  1 kB\nMemAvailable:    8192 kB\nSwapTotal: 7 kB\n");
  CHECK(memory.total == 16384 * 1024);
  CHECK(memory.available == 8192 * 1024);
  CHECK(meminfo("").total == 0);
}

TEST_CASE("the system's name for people, with and without quotes") {
  CHECK(pretty_name("NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=x\n") ==
        "Debian GNU/Linux 12 (bookworm)");
  CHECK(pretty_name("PRETTY_NAME=Plain\n") == "Plain");
  CHECK(pretty_name("PRETTY_NAME='One \\\"two\\\"'\n") == "One \"two\"");
  CHECK(pretty_name("ID=x\n") == "");
}

TEST_CASE("the cores are those that the process may use, not those there are") {
  std::uint32_t cores = 0;
  bool bound = false;
  std::thread([&] {  // whose affinity is its own
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(::sched_getcpu()), &one);
    bound = ::sched_setaffinity(0, sizeof one, &one) == 0;
    cores = usable_cores();
  })
      .join();
  REQUIRE(bound);
  CHECK(cores == 1);
}

TEST_CASE("this machine has a core, memory, a name") {
  CHECK(usable_cores() >= 1);
  CHECK(memory().total > 0);
  CHECK(memory().available <= memory().total);
  CHECK(own_memory() > 100'000);
  CHECK_FALSE(host_name().empty());
  CHECK(kernel_name().starts_with("Linux "));
  CHECK(load() >= 0);
}
