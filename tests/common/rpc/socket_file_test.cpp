#include "common/rpc/socket_file.h"

#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <optional>
#include <thread>
#include <vector>

using knee::UniqueFd;
using knee::rpc::SocketFile;

namespace {

namespace fs = std::filesystem;
using Catch::Contains;

class TempFolder {
 public:
  TempFolder() {
    std::string name = fs::temp_directory_path() / "knee-rpc-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~TempFolder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  return address;
}

bool is_answered(const std::string& path) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = address_of(path);
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

/// What a process leaves that was killed.
void leave_dead_socket(const std::string& path) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const auto address = address_of(path);
  ::unlink(path.c_str());
  REQUIRE(::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
}

/// Empty: it got the path.
std::string refusal_at(const std::string& path) {
  try {
    const SocketFile file(path);
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

}  // namespace

TEST_CASE("of many that want one path at once exactly one gets it, and keeps it") {
  const TempFolder folder;
  const auto path = folder / "s";
  constexpr int kMany = 6;
  const bool dead_one_is_there = GENERATE(false, true);
  for (int round = 0; round < 50; ++round) {
    if (dead_one_is_there) leave_dead_socket(path);
    std::barrier start(kMany);
    std::vector<std::optional<SocketFile>> files(kMany);
    std::vector<std::string> refusals(kMany);
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < kMany; ++i)
        threads.emplace_back([&, i] {
          start.arrive_and_wait();
          try {
            files[i].emplace(path);
          } catch (const std::exception& error) {
            refusals[i] = error.what();
          }
        });
    }
    int winners = 0;
    for (int i = 0; i < kMany; ++i) {
      winners += files[i].has_value();
      if (!files[i]) CHECK_THAT(refusals[i], Contains(path) && Contains("another process does"));
    }
    REQUIRE(winners == 1);
    REQUIRE(is_answered(path));
  }
}

TEST_CASE("those that come while one ends get the path or are refused, and it is never torn away") {
  const TempFolder folder;
  const auto path = folder / "s";
  std::atomic<bool> stop = false;
  std::atomic<int> torn = 0;
  std::atomic<int> had = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i)
      threads.emplace_back([&] {
        while (!stop) try {
            const SocketFile file(path);
            torn += !is_answered(path);
            if (++had == 500) stop = true;
          } catch (const std::exception&) {
          }
      });
  }
  CHECK(torn == 0);
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("two processes: the second is refused until the first has died, however it dies") {
  const TempFolder folder;
  const auto path = folder / "s";
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t first = ::fork();
  if (first == 0) {
    const SocketFile file(path);
    (void)!::write(ready[1], "x", 1);
    ::pause();
    ::_exit(0);
  }
  char byte = 0;
  REQUIRE(::read(ready[0], &byte, 1) == 1);
  CHECK_THAT(refusal_at(path), Contains("another process does"));
  // Neither does one count as dead that takes nobody in.
  ::kill(first, SIGSTOP);
  CHECK_THAT(refusal_at(path), Contains("another process does"));
  CHECK(is_answered(path));
  ::kill(first, SIGKILL);
  ::waitpid(first, nullptr, 0);
  CHECK(fs::exists(path));
  CHECK(refusal_at(path).empty());
  CHECK(fs::is_empty(folder.path()));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST_CASE("what somebody else put at the path meanwhile is not removed") {
  const TempFolder folder;
  const auto path = folder / "s";
  std::optional<SocketFile> file(path);
  // A second file of another name first: the number of a removed one may be used again.
  leave_dead_socket(folder / "other");
  fs::rename(folder / "other", path);
  file.reset();
  CHECK(fs::is_socket(path));
}

TEST_CASE("a folder that others may write to is refused, with what to do") {
  const TempFolder folder;
  const auto path = folder / "s";
  for (const mode_t mode : {0777, 0770, 0722}) {
    ::chmod(folder.path().c_str(), mode);
    CHECK_THAT(refusal_at(path), Contains(path) && Contains("other users may write") &&
                                     Contains("chmod go-w " + folder.path()));
    CHECK(fs::is_empty(folder.path()));
  }
  for (const mode_t mode : {0755, 0700, 01777}) {
    ::chmod(folder.path().c_str(), mode);
    CHECK(refusal_at(path).empty());
  }
}

TEST_CASE("another user's folder is refused, root's is not") {
  if (::getuid() != 0) {
    WARN("skipped: only root can give a folder away");
    return;
  }
  const TempFolder folder;
  REQUIRE(::chown(folder.path().c_str(), 65534, 65534) == 0);
  CHECK_THAT(refusal_at(folder / "s"),
             Contains("belongs to another user (number 65534)") && Contains("choose an address"));
  CHECK(fs::is_empty(folder.path()));
  // Another user, in root's folder with the sticky bit.
  REQUIRE(::chown(folder.path().c_str(), 0, 0) == 0);
  ::chmod(folder.path().c_str(), 01777);
  const pid_t stranger = ::fork();
  if (stranger == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(1);
    ::_exit(refusal_at(folder / "s").empty() ? 0 : 2);
  }
  int status = 0;
  ::waitpid(stranger, &status, 0);
  CHECK(status == 0);
}
