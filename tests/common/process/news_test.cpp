#include "common/process/news.h"

#include <catch2/catch.hpp>
#include <cerrno>
#include <stdexcept>

using namespace knee::process;
using namespace std::chrono_literals;

TEST_CASE("news survive the way from keeper to slave") {
  const DeathRecord record{.exit_code = 1,
                           .signal = 2,
                           .core_dumped = true,
                           .killed_on_request = true,
                           .wall_time = 3ns,
                           .cpu_time = 4ns,
                           .peak_memory = 5,
                           .out_of_memory = OutOfMemory::yes,
                           .leftovers_killed = 6,
                           .leftovers_stuck = 7};
  for (const News& news :
       {News(Started{77}), News(StartFailed{ENOENT, "execute", "/x"}), News(record)}) {
    const auto bytes = encode(news);
    CHECK(bytes.size() <= kMostNewsBytes);
    CHECK(decode_news(bytes) == news);
    CHECK_THROWS_AS(decode_news(std::span(bytes).first(bytes.size() - 1)), std::runtime_error);
  }
}

TEST_CASE("a path of any length fits into news") {
  const auto bytes = encode(StartFailed{ENAMETOOLONG, "execute", std::string(1'000'000, 'x')});
  CHECK(bytes.size() <= kMostNewsBytes);
  CHECK(std::get<StartFailed>(decode_news(bytes)).error == ENAMETOOLONG);
}

TEST_CASE("bytes that are no news are refused") {
  CHECK_THROWS_AS(decode_news({}), std::runtime_error);
  CHECK_THROWS_AS(decode_news(std::vector<std::byte>(100, std::byte{200})), std::runtime_error);
}

TEST_CASE("a start that failed says what was tried, on what, why, and what may help") {
  CHECK(StartFailed{ENOENT, "enter folder", "/x"}.describe() ==
        "cannot enter folder '/x': No such file or directory");
  CHECK_THAT((StartFailed{EACCES, "execute", "/x"}.describe()), Catch::Contains("noexec"));
}
