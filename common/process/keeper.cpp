#include "common/process/keeper.h"

#include <poll.h>
#include <spawn.h>
#include <sys/auxv.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "common/process/control_message.h"
#include "common/process/keeper_main.h"
#include "common/process/pidfd.h"

namespace knee::process {
namespace {

constexpr const char* kSelf = "/proc/self/exe";

[[noreturn]] void refuse(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

std::string own_executable() {
  if (::access(kSelf, X_OK) == 0) return kSelf;
  // getauxval gives every value as a number.  NOLINTNEXTLINE(performance-no-int-to-ptr)
  const auto* const started_as = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  std::array<char, PATH_MAX> path{};
  if (started_as == nullptr || ::realpath(started_as, path.data()) == nullptr) {
    refuse(errno, "cannot find this program's own executable (/proc is not mounted)");
  }
  return path.data();
}

/// posix_spawn's two argument objects, with what a keeper needs.
class SpawnArguments {
 public:
  explicit SpawnArguments(int control) {
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawn_file_actions_init(&actions_);
    sigset_t set;
    ::sigemptyset(&set);
    ::posix_spawnattr_setsigmask(&attributes_, &set);
    ::sigfillset(&set);
    ::posix_spawnattr_setsigdefault(&attributes_, &set);
    ::posix_spawnattr_setflags(&attributes_,
                               POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    ::posix_spawn_file_actions_adddup2(&actions_, control, kKeeperControl);
  }
  SpawnArguments(const SpawnArguments&) = delete;
  SpawnArguments& operator=(const SpawnArguments&) = delete;
  ~SpawnArguments() {
    ::posix_spawn_file_actions_destroy(&actions_);
    ::posix_spawnattr_destroy(&attributes_);
  }

  /// posix_spawn is a vfork inside: its cost does not grow with this process's memory.
  [[nodiscard]] pid_t spawn(const std::string& executable) const {
    std::string name = "knee-keeper";
    std::string mark = kKeeperMark;
    const std::array<char*, 3> argv{name.data(), mark.data(), nullptr};
    pid_t pid = 0;
    const int error =
        ::posix_spawn(&pid, executable.c_str(), &actions_, &attributes_, argv.data(), ::environ);
    if (error != 0) refuse(error, "cannot start a keeper from '" + executable + "'");
    return pid;
  }

 private:
  posix_spawnattr_t attributes_{};
  posix_spawn_file_actions_t actions_{};
};

std::pair<Descriptor, Descriptor> make_control() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    refuse(errno, "cannot make a keeper's control socket");
  }
  return {Descriptor(ends[0]), Descriptor(ends[1])};
}

/// Returns when the process may have ended, at the latest after `limit`.
void wait_for_end(pid_t keeper, std::chrono::milliseconds limit) {
  const auto pidfd = open_pidfd(keeper);
  // Without pidfd (kernels before 5.3) look again every millisecond.
  const auto pause = pidfd ? limit : std::chrono::milliseconds(1);
  pollfd event{pidfd.get(), POLLIN, 0};
  ::poll(&event, 1, static_cast<int>(std::clamp<std::int64_t>(pause.count(), 0, INT_MAX)));
}

/// True if there is nothing more to wait for.
bool waited_for(pid_t keeper) {
  const pid_t result = ::waitpid(keeper, nullptr, WNOHANG);
  // ECHILD: this process ignores SIGCHLD, so that the kernel waits for it.
  return result == keeper || (result < 0 && errno == ECHILD);
}

}  // namespace

Keeper::Keeper(Keepers& owner, Descriptor control, pid_t keeper)
    : owner_(&owner), control_(std::move(control)), keeper_(keeper) {}

Keeper::Keeper(Keeper&& other) noexcept
    : owner_(other.owner_),
      control_(std::move(other.control_)),
      keeper_(std::exchange(other.keeper_, 0)),
      worker_(other.worker_),
      explained_(other.explained_) {}

Keeper& Keeper::operator=(Keeper&& other) noexcept {
  Keeper taken(std::move(other));
  std::swap(owner_, taken.owner_);
  std::swap(control_, taken.control_);
  std::swap(keeper_, taken.keeper_);
  std::swap(worker_, taken.worker_);
  std::swap(explained_, taken.explained_);
  return *this;
}

Keeper::~Keeper() {
  if (keeper_ == 0) return;
  // A process forked by another thread may hold a copy of this end for a while; closing ours alone
  // would then go unnoticed.
  ::shutdown(control_.get(), SHUT_RDWR);
  owner_->take_over(keeper_);
}

std::optional<News> Keeper::read_news() {
  std::array<std::byte, kMostNewsBytes> bytes;
  while (keeper_ != 0) {
    const ssize_t got = ::recv(control_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got == 0) return end();
    if (got > 0) {
      auto news = decode_news({bytes.data(), static_cast<std::size_t>(got)});
      note(news);
      return news;
    }
    if (errno == EAGAIN) return std::nullopt;
    // A keeper that ended with a request of ours unread makes for one ECONNRESET; its own last
    // messages can still be read after that.
    if (errno != EINTR && errno != ECONNRESET) refuse(errno, "cannot read a keeper's news");
  }
  return std::nullopt;
}

void Keeper::note(const News& news) {
  if (const auto* started = std::get_if<Started>(&news)) worker_ = started->worker;
  if (!std::holds_alternative<Started>(news)) explained_ = true;
}

News Keeper::end() {
  // The keeper was killed. Its worker dies of that; of what the worker left, take what can be
  // named.
  if (!explained_ && worker_) ::kill(-*worker_, SIGKILL);
  owner_->take_over(std::exchange(keeper_, 0));
  return KeeperGone{};
}

void Keeper::kill_worker(int signal) {
  if (keeper_ == 0) return;
  const KillMessage message{signal};
  const auto sent = ::send(control_.get(), &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL);
  // A full socket does not keep the keeper from seeing this end close.
  if (sent < 0 && signal == SIGKILL) ::shutdown(control_.get(), SHUT_WR);
}

Keepers::Keepers() : executable_(own_executable()) {}

Keeper Keepers::start(const SpawnPlan& plan) {
  check(plan);
  reap();
  auto [ours, its] = make_control();
  send_plan(ours.get(), plan);  // waits in the socket until the keeper is there
  const pid_t keeper = SpawnArguments(its.get()).spawn(executable_);
  return {*this, std::move(ours), keeper};
}

void Keepers::reap() {
  std::erase_if(ending_, waited_for);
}

bool Keepers::wait_for_ending(std::chrono::milliseconds patience) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + patience;
  for (reap(); !ending_.empty() && Clock::now() < deadline; reap()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    wait_for_end(ending_.front(), left);
  }
  return ending_.empty();
}

void Keepers::take_over(pid_t keeper) {
  if (!waited_for(keeper)) ending_.push_back(keeper);
}

}  // namespace knee::process
