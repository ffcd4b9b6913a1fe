#include "common/process/worker_start.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <set>
#include <system_error>
#include <vector>

namespace knee::process {
namespace {

// Everything down to `carry_out` runs in the child. The keeper has a single thread, so the child
// of its fork may allocate, throw and use streams.

[[noreturn]] void fail(std::string step, std::string object) {
  throw StartFailed{errno, std::move(step), std::move(object)};
}

void die_with(pid_t keeper) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The keeper may have died before the line above took effect.
  if (::getppid() != keeper) ::_exit(127);
}

void set_cpus(const std::vector<int>& cpus) {
  constexpr int kMostCpus = 65536;
  const auto fits = [](int cpu) { return cpu >= 0 && cpu < kMostCpus; };
  std::vector<unsigned long> mask(kMostCpus / (8 * sizeof(unsigned long)));
  auto* const set = reinterpret_cast<cpu_set_t*>(mask.data());
  const std::size_t bytes = mask.size() * sizeof mask[0];
  std::string names;
  for (const int cpu : cpus) {
    names += (names.empty() ? "" : ",") + std::to_string(cpu);
    if (fits(cpu)) CPU_SET_S(static_cast<std::size_t>(cpu), bytes, set);
  }
  if (::sched_setaffinity(0, bytes, set) != 0) fail("bind to processors", names);
}

void raise_oom_score(int more) {
  constexpr int kHighest = 1000;
  const char* const path = "/proc/self/oom_score_adj";
  int score = 0;
  if (std::ifstream(path) >> score) std::ofstream(path) << std::min(score + more, kHighest);
}

void limit_open_files(std::uint64_t soft) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(soft, limit.rlim_max);
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) fail("limit open files to", std::to_string(soft));
}

/// Duplicates `fd` to a number outside `avoid`.
int park(int fd, const std::set<int>& avoid) {
  for (int from = 3;;) {
    const int parked = ::fcntl(fd, F_DUPFD_CLOEXEC, from);
    if (parked < 0) fail("move descriptor", std::to_string(fd));
    if (!avoid.contains(parked)) return parked;
    ::close(parked);
    from = parked + 1;
  }
}

/// Puts the plan's descriptors where it wants them. A number may be source of one and target of
/// another, so all sources (and what execve still needs) first go where no target is. All of these
/// are close-on-exec, as is everything else the keeper has open but 0, 1 and 2.
void place_descriptors(SpawnPlan& plan, int& report) {
  std::set<int> targets;
  for (const auto& passed : plan.descriptors) targets.insert(passed.there);
  Descriptor empty_input;
  if (targets.insert(STDIN_FILENO).second) {
    empty_input = open_empty_input();
    plan.descriptors.push_back({empty_input.get(), STDIN_FILENO, false});
  }
  report = park(report, targets);
  if (plan.executable_fd >= 0) plan.executable_fd = park(plan.executable_fd, targets);
  for (auto& passed : plan.descriptors) passed.here = park(passed.here, targets);
  empty_input.reset();
  for (const auto& passed : plan.descriptors) {
    const int flags = passed.close_on_exec ? O_CLOEXEC : 0;
    if (::dup3(passed.here, passed.there, flags) < 0) {
      fail("place descriptor", std::to_string(passed.there));
    }
  }
}

void reset_signals() {
  // Ignored signals would stay ignored across execve; KJ, for one, ignores SIGPIPE.
  // The bare system call, because glibc does not let 32 and 33, which its posix_spawn sets to
  // ignored, be changed. All zero is the default action, however the kernel lays the struct out.
  constexpr int kSignals = 64;
  const std::array<std::uint64_t, 8> default_action{};
  for (int number = 1; number <= kSignals; ++number) {
    ::syscall(SYS_rt_sigaction, number, default_action.data(), nullptr, kSignals / 8);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  all.reserve(texts.size() + 1);
  for (auto& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

/// Returns only if it cannot be done; errno says why.
void try_to_execute(const SpawnPlan& plan, const std::vector<char*>& argv,
                    std::vector<char*>& envp) {
  if (plan.executable_fd >= 0) {
    ::execveat(plan.executable_fd, "", argv.data(), envp.data(), AT_EMPTY_PATH);
  } else if (plan.search_path) {
    ::environ = envp.data();  // the PATH looked at is the new one
    ::execvp(plan.executable.c_str(), argv.data());
  } else {
    ::execve(plan.executable.c_str(), argv.data(), envp.data());
  }
}

[[noreturn]] void execute(SpawnPlan& plan) {
  if (plan.arguments.empty()) plan.arguments.push_back(plan.executable);
  const auto argv = pointers(plan.arguments);
  auto envp = pointers(plan.environment);
  // A file that was just written can be open for writing still, in a child that another thread of
  // the writer forked meanwhile, until that one execs.
  constexpr long kLongestPause = 500'000'000;  // ns; about a second in all
  for (timespec pause{0, 1'000'000}; pause.tv_nsec <= kLongestPause; pause.tv_nsec *= 2) {
    try_to_execute(plan, argv, envp);
    if (errno != ETXTBSY) break;
    ::nanosleep(&pause, nullptr);
    errno = ETXTBSY;
  }
  fail("execute", plan.executable);
}

[[noreturn]] void carry_out(SpawnPlan& plan, int& report) {
  ::setsid();  // a terminal's Ctrl-C is for the slave, which decides what becomes of its workers
  if (!plan.cwd.empty() && ::chdir(plan.cwd.c_str()) != 0) fail("enter folder", plan.cwd);
  if (plan.cpus) set_cpus(*plan.cpus);
  raise_oom_score(plan.oom_score_more);
  place_descriptors(plan, report);
  if (plan.open_files) limit_open_files(*plan.open_files);
  reset_signals();
  execute(plan);
}

[[noreturn]] void run_child(SpawnPlan plan, int report, pid_t keeper) {
  StartFailed failure;
  try {
    die_with(keeper);
    carry_out(plan, report);
  } catch (const StartFailed& failed) {
    failure = failed;
  } catch (const std::system_error& error) {
    failure = {error.code().value(), "start", plan.executable};
  } catch (const std::exception&) {
    failure = {ENOMEM, "start", plan.executable};
  }
  const auto bytes = encode(failure);
  const ssize_t written = ::write(report, bytes.data(), bytes.size());
  ::_exit(written < 0 ? 126 : 127);
}

}  // namespace

WorkerStart start_worker(const SpawnPlan& plan) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    throw std::system_error(errno, std::generic_category(), "cannot make a pipe");
  }
  Descriptor outcome(ends[0]);
  const Descriptor report(ends[1]);
  const pid_t keeper = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) run_child(plan, report.get(), keeper);
  if (child < 0) throw std::system_error(errno, std::generic_category(), "cannot fork");
  return {child, std::move(outcome)};
}

std::optional<StartFailed> outcome_of(const WorkerStart& start) {
  std::array<std::byte, kMostNewsBytes> bytes;
  std::size_t size = 0;
  for (ssize_t got = 1; got != 0;) {
    got = ::read(start.outcome.get(), bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno != EINTR) break;
    if (got > 0) size += static_cast<std::size_t>(got);
  }
  if (size == 0) return std::nullopt;
  return std::get<StartFailed>(decode_news({bytes.data(), size}));
}

}  // namespace knee::process
