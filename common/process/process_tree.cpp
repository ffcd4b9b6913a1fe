#include "common/process/process_tree.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <exception>
#include <fstream>
#include <unordered_set>

#include "common/process/pidfd.h"
#include "common/process/stat.h"

namespace knee::process {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

/// Rounds of killing children alone before the whole of /proc is read for deeper ones.
constexpr int kQuickRounds = 4;
constexpr milliseconds kFirstPause{1};
constexpr milliseconds kLongestPause{500};

void kill_child(pid_t child) {
  // A child that has no group of its own yet is still in ours.
  const pid_t group = ::getpgid(child);
  if (group > 1 && group != ::getpgrp()) ::kill(-group, SIGKILL);
  ::kill(child, SIGKILL);
}

/// Waits for all ended children. False if there is no child left at all.
bool reap_ended(std::uint32_t& killed) {
  int status = 0;
  pid_t child = 0;
  while ((child = ::waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ++killed;
  }
  return child == 0;
}

void wait_for_child_signal(milliseconds pause) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  const timespec limit{.tv_sec = pause.count() / 1000, .tv_nsec = pause.count() % 1000 * 1'000'000};
  ::sigtimedwait(&set, nullptr, &limit);
}

std::vector<ProcessStat> descendants(const std::vector<ProcessStat>& all, pid_t root) {
  std::vector<ProcessStat> found;
  std::unordered_set<pid_t> tree{root};
  // Parents may have higher numbers than their children, so go on until nothing is added.
  for (std::size_t before = 0; before != tree.size();) {
    before = tree.size();
    for (const auto& stat : all) {
      if (tree.contains(stat.parent) && tree.insert(stat.pid).second) found.push_back(stat);
    }
  }
  return found;
}

void kill_if_unchanged(const ProcessStat& seen) try {
  const auto pidfd = open_pidfd(seen.pid);
  if (!pidfd) return;
  // The number may have been given to a stranger since /proc was read. The pidfd holds one
  // process; if that has the parent seen before, it belongs to the tree.
  const auto now = read_stat(seen.pid);
  if (now && now->parent == seen.parent) send_signal(pidfd, SIGKILL);
} catch (const std::exception&) {
  // Gone meanwhile, or of another user: the next round sees which.
}

}  // namespace

void kill_children() {
  for (const pid_t child : children()) kill_child(child);
}

void kill_young_children() {
  auto found = children_by_file();
  if (!found) found = children_by_stats();
  if (!found) found = young_children_by_asking();
  for (const pid_t child : *found) kill_child(child);
}

void kill_deeper_descendants() {
  const auto all = read_all_stats();
  if (!all) return;
  for (const auto& stat : descendants(*all, ::getpid())) {
    if (stat.parent != ::getpid()) kill_if_unchanged(stat);
  }
}

KillResult kill_descendants(milliseconds patience) {
  const auto deadline = Clock::now() + patience;
  KillResult result;
  auto pause = kFirstPause;
  for (int round = 0; reap_ended(result.killed); ++round) {
    const auto began = Clock::now();
    if (began >= deadline) {
      result.remaining = static_cast<std::uint32_t>(children().size());
      break;
    }
    if (round < kQuickRounds)
      kill_young_children();
    else
      kill_children();
    if (round >= kQuickRounds) kill_deeper_descendants();
    // Every death wakes us. The pause is for what brings no signal: a list that was read while it
    // changed. It is never shorter than what the round cost, lest the search eat a processor.
    const auto cost = std::chrono::duration_cast<milliseconds>(Clock::now() - began);
    wait_for_child_signal(std::max(pause, cost));
    pause = std::min(pause * 2, kLongestPause);
  }
  return result;
}

std::vector<pid_t> children() {
  if (auto found = children_by_file()) return *std::move(found);
  if (auto found = children_by_stats()) return *std::move(found);
  return children_by_asking();
}

std::optional<std::vector<pid_t>> children_by_file() {
  std::ifstream file("/proc/thread-self/children");
  if (!file) return std::nullopt;
  std::vector<pid_t> found;
  for (pid_t pid = 0; file >> pid;) found.push_back(pid);
  return found;
}

std::optional<std::vector<pid_t>> children_by_stats() {
  const auto all = read_all_stats();
  if (!all) return std::nullopt;
  std::vector<pid_t> found;
  for (const auto& stat : *all) {
    if (stat.parent == ::getpid()) found.push_back(stat.pid);
  }
  return found;
}

std::vector<pid_t> young_children_by_asking() {
  // The newest number is that of a process started now.
  const pid_t newest = ::vfork();
  if (newest == 0) ::_exit(0);
  if (newest < 0) return children_by_asking();
  ::waitpid(newest, nullptr, __WALL);
  return children_by_asking(::getpid() + 1, newest);
}

std::vector<pid_t> children_by_asking(pid_t first, pid_t last) {
  std::vector<pid_t> found;
  for (pid_t pid = first; pid <= last; ++pid) {
    siginfo_t info{};
    constexpr int kAsk = WEXITED | WNOHANG | WNOWAIT | __WALL;
    if (::waitid(P_PID, static_cast<id_t>(pid), &info, kAsk) == 0) found.push_back(pid);
  }
  return found;
}

}  // namespace knee::process
