#include "common/process/oom_counter.h"

#include <catch2/catch.hpp>
#include <cstdio>
#include <filesystem>

using namespace knee::process;

TEST_CASE("the kernel's count of out-of-memory kills is found in each of its files") {
  CHECK(parse_oom_kill("low 0\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n") == 5);
  CHECK(parse_oom_kill("oom_kill_disable 0\nunder_oom 0\noom_kill 12") == 12);
  CHECK_FALSE(parse_oom_kill(""));
  CHECK_FALSE(parse_oom_kill("oom_kill x\n"));
}

TEST_CASE("the memory group is found in version 2, version 1 and mixed set-ups") {
  CHECK(parse_memory_group("0::/user.slice\n") == MemoryGroup{"/user.slice", false});
  CHECK(parse_memory_group("9:cpu,cpuacct:/c\n4:memory:/m:x\n0::/\n") == MemoryGroup{"/m:x", true});
  CHECK(parse_memory_group("0::/u\n3:hugetlb,memory:/m\n") == MemoryGroup{"/m", true});
  CHECK_FALSE(parse_memory_group("1:name=systemd:/\n"));
  CHECK_FALSE(parse_memory_group("nonsense"));
}

TEST_CASE("some counter is readable where /proc/vmstat is") {
  if (!std::filesystem::exists("/proc/vmstat")) return;
  const OomCounter counter;
  CHECK(counter.read());
}
