#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/unique_fd.h"
#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMuch = 60 * kMemorySlack << 20;
/// Of about 100 MB that `seq` prints.
constexpr std::uint64_t kLines = 12'000'000;

/// What a driver's stdout leads to, and that is not read before the test does so.
class Fifo {
 public:
  explicit Fifo(std::string path) : path_(std::move(path)) {
    REQUIRE(::mkfifo(path_.c_str(), 0600) == 0);
    reader_.reset(::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    REQUIRE(reader_);
    REQUIRE(::fcntl(reader_.get(), F_SETFL, 0) == 0);
  }
  const std::string& path() const { return path_; }
  /// More; nothing when the writer has closed it.
  std::string read() const {
    std::string text(std::size_t{1} << 20, '\0');
    const auto count = ::read(reader_.get(), text.data(), text.size());
    REQUIRE(count >= 0);
    text.resize(static_cast<std::size_t>(count));
    return text;
  }

 private:
  std::string path_;
  knee::UniqueFd reader_;
};

/// Reads all there is, and gives how far the lines count from 1 on.
std::uint64_t count_lines(const Fifo& fifo) {
  std::uint64_t lines = 0;
  std::string rest;
  for (std::string text = fifo.read(); !text.empty(); text = fifo.read()) {
    rest += text;
    std::size_t begin = 0;
    for (auto end = rest.find('\n'); end != rest.npos; end = rest.find('\n', begin)) {
      if (rest.compare(begin, end - begin, std::to_string(lines + 1)) != 0) return lines;
      ++lines;
      begin = end + 1;
    }
    rest.erase(0, begin);
  }
  return lines;
}

/// Such a command; it says when it begins, and when it has printed all.
struct Printing {
  explicit Printing(const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments{fifo.path(), "echo yes > " + folder / "begun" + "; seq " +
                                                        std::to_string(kLines) + "; echo yes > " +
                                                        folder / "printed"};
    for (const auto& name : more) arguments.push_back(folder / name);
    // If a blocked stdout stopped heartbeats, the slave would be lost after a second.
    driver.emplace(DriverProcess::Setup{.part = "pass_into",
                                        .arguments = arguments,
                                        .slaves = {slave.address()},
                                        .environment = {{"KNEE_HEARTBEAT", "100ms"}}});
    wait_for_marks(folder / "begun");
  }
  /// Whether all is printed, though nobody has read it; it takes a fraction of that time.
  bool is_printed() const {
    return wait_until([&] { return fs::exists(folder / "printed"); }, 2s * kTimeSlack);
  }

  SlaveProcess slave;
  TemporaryFolder folder;
  Fifo fifo{folder / "out"};
  LeakCheck leaks{{&slave}};
  std::optional<DriverProcess> driver;
};

}  // namespace

TEST_CASE("a driver whose stdout nobody reads holds little of a command's output, and loses none") {
  Printing printing;
  auto& driver = *printing.driver;
  CHECK_FALSE(printing.is_printed());
  CHECK(resident_memory_of(driver.pid()) < kMuch);
  CHECK(driver.is_alive());
  CHECK(count_lines(printing.fifo) == kLines);
  CHECK(driver.wait() == 0);
  CHECK(driver.err() == "");
  CHECK(printing.leaks.found() == "");
}

TEST_CASE("a command is cancelled although nobody reads what its driver prints") {
  Printing printing({"cancel", "cancelled"});
  auto& driver = *printing.driver;
  CHECK_FALSE(printing.is_printed());
  leave_mark(printing.folder / "cancel", "now");
  wait_for_marks(printing.folder / "cancelled");
  // What it does at the end of its cluster needs no reader, only its own end does.
  CHECK(wait_until([&] { return printing.slave.family().empty(); }));
  CHECK(driver.is_alive());
  CHECK(resident_memory_of(driver.pid()) < kMuch);
  const auto lines = count_lines(printing.fifo);
  CHECK(lines < kLines);
  CHECK(driver.wait() == 0);
  CHECK(driver.err() == "");
  CHECK(printing.leaks.found() == "");
}
