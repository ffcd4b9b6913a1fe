#include "common/process/keeper_main.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <set>
#include <string_view>
#include <system_error>

#include "common/process/control_message.h"
#include "common/process/news.h"
#include "common/process/oom_counter.h"
#include "common/process/process_tree.h"
#include "common/process/spawn_plan.h"
#include "common/process/stat.h"
#include "common/process/worker_start.h"

namespace knee::process {
namespace {

using Clock = std::chrono::steady_clock;

/// Sent by the kernel when the slave's thread that started this keeper ends. Not SIGKILL: that
/// would take the keeper and leave the tree. Not SIGTERM: a thread's end is not yet the slave's.
constexpr int kParentSignal = SIGUSR1;

[[noreturn]] void refuse(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

Descriptor open_signals() {
  sigset_t watched;
  ::sigemptyset(&watched);
  for (const int number : {SIGCHLD, kParentSignal, SIGTERM, SIGINT, SIGHUP, SIGQUIT}) {
    ::sigaddset(&watched, number);
  }
  Descriptor signals(::signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) refuse(errno, "cannot watch signals");
  return signals;
}

std::chrono::nanoseconds to_duration(const timeval& time) {
  return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
}

void send(int control, const News& news) {
  // A slave that no longer listens is no error: the tree is killed either way.
  const auto bytes = encode(news);
  ::send(control, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void kill_all_that_is_left() {
  while (kill_descendants(std::chrono::hours(1)).remaining > 0) continue;
}

/// One command from its fork to the end of everything it left.
class Watch {
 public:
  /// Starts the command. Throws std::system_error.
  Watch(int control, pid_t slave, const SpawnPlan& plan)
      : control_(control),
        slave_(slave),
        start_(start_worker(plan)),
        oom_kills_(oom_counter_.read()) {}

  /// Returns when neither the worker nor a descendant is left.
  void wait() {
    if (::getppid() != slave_) kill_tree();
    while (!worker_ended_ && !start_failed_) wait_for_event();
    finish();
  }

 private:
  void wait_for_event() {
    // A negative descriptor is left out by poll.
    std::array<pollfd, 3> events{{{start_.outcome.get(), POLLIN, 0},
                                  {signals_.get(), POLLIN, 0},
                                  {slave_listens_ ? control_ : -1, POLLIN, 0}}};
    if (::poll(events.data(), events.size(), -1) < 0) return;
    if (events[0].revents != 0) finish_start();
    // Ends before requests: a slave that saw its worker end may well ask to kill it.
    if (events[1].revents != 0) read_signals();
    if (events[2].revents != 0 && !worker_ended_) read_request();
  }

  void finish_start() {
    const auto failure = outcome_of(start_);
    start_.outcome.reset();
    if (failure) {
      start_failed_ = true;
      send(control_, *failure);
    } else {
      send(control_, Started{start_.worker});
    }
  }

  void read_request() {
    KillMessage message;
    const ssize_t got = ::recv(control_, &message, sizeof message, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got != sizeof message) {  // the end of the stream, or nonsense
      slave_listens_ = false;
      kill_tree();
    } else if (message.signal == SIGKILL) {
      kill_tree();
    } else {
      pass_on(message.signal);
    }
  }

  void read_signals() {
    signalfd_siginfo info;
    while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
      const auto number = static_cast<int>(info.ssi_signo);
      if (number == SIGCHLD) continue;
      if (number == kParentSignal && ::getppid() == slave_) continue;
      kill_tree();
    }
    reap_orphans();
  }

  /// The worker leads a session, hence a group it cannot leave, and is not waited for while this
  /// runs: both numbers are surely its own. Before its setsid only the second works.
  void pass_on(int signal) {
    // A worker on its way out closes its descriptors before it can be waited for. The slave that
    // sees that and asks to kill it is not the cause of its death.
    const auto stat = read_stat(start_.worker);
    if (!stat || !stat->ending) requested_.insert(signal);
    if (::kill(-start_.worker, signal) != 0) ::kill(start_.worker, signal);
  }

  void kill_tree() {
    killing_ = true;
    pass_on(SIGKILL);
    kill_young_children();
  }

  /// Waits for what ended, except the worker, whose number must stay taken for now.
  void reap_orphans() {
    siginfo_t info{};
    while (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 &&
           info.si_pid != 0) {
      if (info.si_pid == start_.worker) {
        worker_ended_ = true;
        return;
      }
      ::waitpid(info.si_pid, nullptr, __WALL);
      if (killing_ && info.si_code == CLD_KILLED && info.si_status == SIGKILL) {
        ++record_.leftovers_killed;
      }
      info.si_pid = 0;
    }
  }

  void finish() {
    record_.wall_time = Clock::now() - began_;
    if (start_.outcome) finish_start();  // the worker ended before its start was noticed
    ::kill(-start_.worker, SIGKILL);
    int status = 0;
    ::waitpid(start_.worker, &status, __WALL);
    take_status(status);
    const auto result = kill_descendants(kStuckAfter);
    record_.leftovers_killed += result.killed;
    record_.leftovers_stuck = result.remaining;
    take_usage();
    if (!start_failed_) send(control_, record_);
    kill_all_that_is_left();
  }

  void take_status(int status) {
    if (WIFEXITED(status)) record_.exit_code = WEXITSTATUS(status);
    if (!WIFSIGNALED(status)) return;
    record_.signal = WTERMSIG(status);
    record_.core_dumped = WCOREDUMP(status);
    record_.killed_on_request = requested_.contains(record_.signal);
    if (record_.signal == SIGKILL && !record_.killed_on_request) {
      record_.out_of_memory = guess_out_of_memory();
    }
  }

  [[nodiscard]] OutOfMemory guess_out_of_memory() const {
    const auto now = oom_counter_.read();
    if (!now || !oom_kills_) return OutOfMemory::unknown;
    return *now > *oom_kills_ ? OutOfMemory::yes : OutOfMemory::no;
  }

  void take_usage() {
    rusage usage{};
    ::getrusage(RUSAGE_CHILDREN, &usage);
    record_.cpu_time = to_duration(usage.ru_utime) + to_duration(usage.ru_stime);
    record_.peak_memory = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  }

  int control_;
  pid_t slave_;
  Descriptor signals_ = open_signals();
  Clock::time_point began_ = Clock::now();
  WorkerStart start_;
  OomCounter oom_counter_;  // made after the fork, while the command loads
  std::optional<std::uint64_t> oom_kills_;
  DeathRecord record_;
  std::set<int> requested_;
  bool slave_listens_ = true;
  bool killing_ = false;
  bool worker_ended_ = false;
  bool start_failed_ = false;
};

void become_keeper(int control) {
  sigset_t all;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
  ::prctl(PR_SET_NAME, "knee-keeper");
  fill_standard_streams();
  close_all_but(control);
  ::fcntl(control, F_SETFD, FD_CLOEXEC);
  ::prctl(PR_SET_PDEATHSIG, kParentSignal);
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) refuse(errno, "cannot become a subreaper");
}

/// None if there is no slave any more, or the start failed and the slave was told.
std::unique_ptr<Watch> begin(int control) try {
  become_keeper(control);
  const auto received = receive_plan(control);
  // Without this check a slave that died before PR_SET_PDEATHSIG took effect would go unnoticed
  // if another process happened to hold its end of the socket.
  if (!received || ::getppid() != received->slave) return nullptr;
  // The plan's descriptors close when this returns: the slave must see other ends close when the
  // worker's copies do.
  return std::make_unique<Watch>(control, received->slave, received->plan);
} catch (const std::system_error& error) {
  std::fprintf(stderr, "knee-keeper: %s\n", error.what());
  send(control, StartFailed{error.code().value(), "start a keeper", error.what()});
  return nullptr;
}

}  // namespace

bool is_keeper(int argc, const char* const* argv) {
  return argc == 2 && std::string_view(argv[1]) == kKeeperMark;
}

int keeper_main(int control) try {
  const auto watch = begin(control);
  if (!watch) return 1;
  watch->wait();
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "knee-keeper: %s\n", error.what());
  kill_all_that_is_left();
  return 1;
}

}  // namespace knee::process
