#include <knee/knee.h>
#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/process/oom_counter.h"
#include "tests/system/harness/driver_process.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using Catch::Contains;

namespace {

namespace fs = std::filesystem;

bool write_to(const std::string& file, const std::string& text) {
  std::ofstream out(file);
  out << text << std::flush;
  return out.good();
}

/// A control group below this process's own whose processes have so much memory in all, and no
/// swap. Destruction removes it, as soon as nobody is in it any more.
class SmallMemory {
 public:
  /// None: this machine or user has none.
  static std::unique_ptr<SmallMemory> with(std::uint64_t bytes) {
    const auto group = knee::process::parse_memory_group(content_of("/proc/self/cgroup"));
    if (!group) return nullptr;
    const std::string root = group->version_1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
    // A container may see its own group as the root.
    for (const auto& parent : {root + group->path, root}) {
      const std::string folder = parent + "/knee-test-" + std::to_string(::getpid());
      if (::mkdir(folder.c_str(), 0755) != 0) continue;
      auto made = std::make_unique<SmallMemory>(folder);
      const std::string limit = std::to_string(bytes);
      if (group->version_1 ? write_to(folder + "/memory.limit_in_bytes", limit)
                           : write_to(folder + "/memory.max", limit)) {
        // Where there is no swap, or nobody counts it, there is nothing to forbid.
        write_to(folder + "/memory.memsw.limit_in_bytes", limit);
        write_to(folder + "/memory.swap.max", "0");
        if (fs::exists(folder + "/cgroup.procs")) return made;
      }
    }
    return nullptr;
  }

  explicit SmallMemory(std::string folder) : folder_(std::move(folder)) {}
  SmallMemory(const SmallMemory&) = delete;
  ~SmallMemory() {
    (void)wait_until([this] { return ::rmdir(folder_.c_str()) == 0 || errno == ENOENT; });
  }

  /// What runs a command in it.
  std::vector<std::string> around() const {
    return {"sh", "-c", "echo $$ > " + folder_ + "/cgroup.procs && exec \"$@\"", "sh"};
  }

 private:
  std::string folder_;
};

/// Takes memory, and uses it, until it is stopped; but not all of a machine without limits.
std::size_t take_all(std::size_t most) {
  constexpr std::size_t kPiece = std::size_t{4} << 20;
  std::vector<std::unique_ptr<char[]>> pieces;
  for (std::size_t taken = 0; taken < most; taken += kPiece) {
    pieces.emplace_back(new char[kPiece]);
    std::memset(pieces.back().get(), static_cast<int>(pieces.size()), kPiece);
  }
  return pieces.size();
}

constexpr std::size_t kMiB = std::size_t{1} << 20;

/// Fills that much memory, frees it, and gives its process.
int fill_and_free(std::size_t bytes) {
  const std::vector<char> filled(bytes, 'x');
  return filled.back() == 'x' ? ::getpid() : 0;
}

}  // namespace

TEST_CASE("what a task has freed goes back to the system when its worker has nothing to do") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  const auto worker = cluster.call<fill_and_free>(64 * kMiB).get();
  REQUIRE(worker != 0);
  CHECK(wait_until([&] { return resident_memory_of(worker) < 40 * kMiB * kMemorySlack; }));
}

TEST_CASE("a driver that copies a large file needs no more memory for that") {
  SlaveProcess slave;
  const TemporaryFolder folder;
  std::ofstream(folder / "here").close();
  fs::resize_file(folder / "here", 256 * kMiB);
  DriverProcess driver({.part = "copy",
                        .arguments = {folder / "here", folder / "there", folder / "back"},
                        .slaves = {slave.address()}});
  CHECK(driver.wait() == 0);
  CHECK(fs::file_size(folder / "back") == 256 * kMiB);
  CHECK(std::stoull(driver.out()) < 64 * kMiB * kMemorySlack);
}

TEST_CASE("a task that the kernel kills for want of memory is said to be, and others go on") {
  const auto memory = SmallMemory::with(120 * kMiB * kMemorySlack);
  if (!memory) {
    WARN("SKIPPED: no control group with a limit of memory may be made here");
    return;
  }
  SlaveProcess slave({.slots = 2, .around = memory->around()});
  const TemporaryFolder here;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto other = cluster.call<hold>(7, here / "started", here / "go");
    wait_for_marks(here / "started");
    auto greedy = cluster.call<take_all>(knee::TaskOptions{.attempts = 1}, 1024 * kMiB);
    Others others(cluster);
    const auto error = error_of(std::move(greedy));
    CHECK(error.kind() == knee::Error::Kind::out_of_memory);
    CHECK_THAT(error.what(), Contains("gandalf") && Contains("memory"));
    CHECK_THAT(error.task(), Contains("take_all"));
    CHECK(error.slave() == "gandalf");
    CHECK(error.attempt() == 1);
    CHECK(cluster.call<twice>(21).get() == 42);
    leave_mark(here / "go", "now");
    CHECK(other.get() == 7);
    CHECK(others.complaints() == "");
    CHECK(marks_in(here / "started").size() == 1);
  }
  CHECK(slave.process().is_alive());
  CHECK(leaks.found() == "");
}

TEST_CASE("a command that the kernel kills for want of memory is said to be") {
  const auto memory = SmallMemory::with(120 * kMiB * kMemorySlack);
  if (!memory) {
    WARN("SKIPPED: no control group with a limit of memory may be made here");
    return;
  }
  SlaveProcess slave({.slots = 1, .around = memory->around()});
  auto options = reaching(slave);
  options.commands_only = true;
  knee::Cluster cluster(options);
  knee::Command command;
  command.arguments = {"sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done"};
  const auto error = error_of(cluster.run(command, {.attempts = 1}));
  CHECK(error.kind() == knee::Error::Kind::out_of_memory);
  command.arguments = {"echo", "on it goes"};
  CHECK(cluster.run(command).get().out == "on it goes\n");
}
