#include "common/process/death_record.h"

#include <catch2/catch.hpp>

using namespace knee::process;
using namespace std::chrono_literals;

TEST_CASE("a death record reads as a sentence") {
  DeathRecord record{
      .signal = 11, .wall_time = 3200ms, .cpu_time = 2900ms, .peak_memory = 412'000'000};
  CHECK(record.describe() ==
        "killed by signal 11 (SIGSEGV), after 3.2 s, CPU time 2.9 s, peak memory 412 MB");
  record.core_dumped = true;
  record.leftovers_killed = 1;
  CHECK(record.describe() ==
        "killed by signal 11 (SIGSEGV), core dumped, after 3.2 s, CPU time 2.9 s, peak memory "
        "412 MB, left 1 process, now killed");
  CHECK(
      DeathRecord{.exit_code = 3, .wall_time = 2h, .cpu_time = 20min, .peak_memory = 40'000'000'000}
          .describe() == "exited with code 3, after 2.0 h, CPU time 20 min, peak memory 40 GB");
  CHECK(
      DeathRecord{.signal = 9, .killed_on_request = true, .wall_time = 5ms}.describe() ==
      "killed by signal 9 (SIGKILL) on request, after 5.0 ms, CPU time 0.0 ms, peak memory 0.0 MB");
}

TEST_CASE("a worker the kernel killed for want of memory is said to be, or suspected") {
  DeathRecord record{.signal = 9, .out_of_memory = OutOfMemory::yes};
  CHECK_THAT(record.describe(), Catch::Contains("by the kernel because memory ran out"));
  record.out_of_memory = OutOfMemory::unknown;
  CHECK_THAT(record.describe(), Catch::Contains("possibly because memory ran out"));
  record.out_of_memory = OutOfMemory::no;
  CHECK_THAT(record.describe(), !Catch::Contains("because memory"));
}

TEST_CASE("a number that is no signal has no name") {
  CHECK(signal_name(9) == "signal 9 (SIGKILL)");
  CHECK(signal_name(40) == "signal 40");
}
