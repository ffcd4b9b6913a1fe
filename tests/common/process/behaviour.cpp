#include "behaviour.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "common/process/keeper.h"
#include "witness.h"

namespace knee::test {
namespace {

void tell_witness(pid_t pid) {
  const auto line = std::to_string(pid) + "\n";
  if (::write(kWitness, line.data(), line.size()) < 0) ::_exit(99);
}

[[noreturn]] void live_for_ever() {
  tell_witness(::getpid());
  while (true) ::pause();
}

int exit_with(int code) {
  return code;
}

int end_by_signal(int number) {
  ::raise(number);
  return 99;
}

int linger(int) {
  live_for_ever();
}

int linger_till_sigterm(int code) {
  static int wanted = code;
  ::signal(SIGTERM, [](int) { ::_exit(wanted); });
  live_for_ever();
}

/// Forks a child that runs `then`; returns once the child has told the witness its number.
template <typename Then>
void leave_child(Then then) {
  int ends[2];
  if (::pipe(ends) != 0) ::_exit(99);
  if (::fork() == 0) {
    tell_witness(::getpid());
    ::close(ends[0]);
    ::close(ends[1]);
    then();
    ::_exit(0);
  }
  ::close(ends[1]);
  char byte = 0;
  if (::read(ends[0], &byte, 1) != 0) ::_exit(99);  // comes to its end when the child closes it
  ::close(ends[0]);
}

/// Leaves a grandchild in a session of its own that ignores what can be ignored.
void leave_daemon() {
  const pid_t middle = ::fork();
  if (middle != 0) {
    ::waitpid(middle, nullptr, 0);
    return;
  }
  ::setsid();
  for (const int number : {SIGTERM, SIGHUP, SIGINT, SIGPIPE}) ::signal(number, SIG_IGN);
  leave_child([] {
    while (true) ::pause();
  });
  ::_exit(0);
}

int leave_daemon_and_exit(int code) {
  leave_daemon();
  return code;
}

int leave_daemon_and_linger(int) {
  leave_daemon();
  live_for_ever();
}

/// Every second child in a session of its own.
int leave_crowd(int size) {
  for (int i = 0; i < size; ++i) {
    if (::fork() != 0) continue;
    if (i % 2 == 0) ::setsid();
    live_for_ever();
  }
  return 0;
}

int leave_stopped(int) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::setsid();
    tell_witness(::getpid());
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  ::waitpid(child, nullptr, WUNTRACED);
  return 0;
}

/// A child that ever again forks a successor in a new session and exits: a moving target.
int leave_runner(int) {
  leave_child([] {
    while (true) {
      if (::fork() != 0) ::_exit(0);
      ::setsid();
    }
  });
  return 0;
}

int allocate(int megabytes) {
  std::vector<char> memory(static_cast<std::size_t>(megabytes) << 20, 'x');
  return memory[memory.size() / 2] == 'x' ? 0 : 1;
}

int burn(int milliseconds) {
  const auto end = std::clock() + milliseconds * (CLOCKS_PER_SEC / 1000);
  while (std::clock() < end) continue;
  return 0;
}

/// A slave that starts a worker with a daemon and then does nothing. Tells its keeper's number and
/// that of a forked child, if `fork_too`, which holds copies of all the slave has open.
int be_slave(int fork_too) {
  process::Keepers keepers;
  auto plan = plan_of("leave_daemon_and_linger");
  plan.descriptors.push_back({kWitness, kWitness});
  const auto keeper = keepers.start(plan);
  const pid_t copy = fork_too != 0 ? ::fork() : -1;
  if (copy == 0) {
    ::close(kWitness);
    while (true) ::pause();
  }
  const auto line = std::to_string(keeper.keeper_pid()) + " " + std::to_string(copy) + "\n";
  if (::write(STDOUT_FILENO, line.data(), line.size()) < 0) return 99;
  while (true) ::pause();
}

int linger_with_child(int) {
  leave_child([] {
    while (true) ::pause();
  });
  live_for_ever();
}

/// A slave that is short of memory: its worker gets killed by the kernel.
int be_slave_of_glutton(int megabytes) {
  process::Keepers keepers;
  auto keeper = keepers.start(plan_of("allocate", std::to_string(megabytes)));
  const auto story = read_story(keeper);
  if (!story.death) return 1;
  std::cout << story.death->describe() << std::endl;
  return story.death->out_of_memory == process::OutOfMemory::yes ? 0 : 2;
}

void list_descriptors() {
  std::cout << "descriptors=";
  for (int fd = 0; fd < 2000; ++fd) {
    if (::fcntl(fd, F_GETFD) >= 0) std::cout << fd << ' ';
  }
  std::cout << '\n';
}

void list_signals() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("SigBlk") || line.starts_with("SigIgn")) std::cout << line << '\n';
  }
}

int describe_self(int) {
  list_descriptors();
  list_signals();
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  cpu_set_t cpus;
  ::sched_getaffinity(0, sizeof cpus, &cpus);
  int score = -1;
  std::ifstream("/proc/self/oom_score_adj") >> score;
  const mode_t mask = ::umask(0);
  std::cout << "session=" << (::getsid(0) == ::getpid())
            << "\ngroup=" << (::getpgrp() == ::getpid()) << "\nfiles=" << files.rlim_cur
            << "\ncpus=" << CPU_COUNT(&cpus) << "\noom=" << score << "\numask=" << mask
            << "\ncwd=" << std::filesystem::current_path().string() << "\ninput=" << std::cin.get()
            << '\n';
  for (char** entry = ::environ; *entry != nullptr; ++entry) std::cout << "env:" << *entry << '\n';
  return 0;
}

const std::map<std::string, int (*)(int)>& table() {
  static const std::map<std::string, int (*)(int)> all{
      {"exit_with", exit_with},
      {"end_by_signal", end_by_signal},
      {"linger", linger},
      {"linger_till_sigterm", linger_till_sigterm},
      {"leave_daemon_and_exit", leave_daemon_and_exit},
      {"leave_daemon_and_linger", leave_daemon_and_linger},
      {"leave_crowd", leave_crowd},
      {"leave_stopped", leave_stopped},
      {"leave_runner", leave_runner},
      {"allocate", allocate},
      {"burn", burn},
      {"linger_with_child", linger_with_child},
      {"be_slave", be_slave},
      {"be_slave_of_glutton", be_slave_of_glutton},
      {"describe_self", describe_self},
  };
  return all;
}

}  // namespace

int behave(int argc, char** argv) {
  return table().at(argv[2])(argc > 3 ? std::atoi(argv[3]) : 0);
}

process::SpawnPlan plan_of(const std::string& name, const std::string& argument) {
  process::SpawnPlan plan;
  std::error_code no_proc;  // the static build can be tried in an empty root folder
  plan.executable = std::filesystem::read_symlink("/proc/self/exe", no_proc).string();
  if (no_proc) plan.executable = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  plan.arguments = {"worker", "--behave", name, argument};
  return plan;
}

}  // namespace knee::test
