#include "child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <fstream>
#include <sstream>
#include <iterator>
#include <stdexcept>

#include "common/base/check.h"
#include "tests/system/harness/process_view.h"

extern char** environ;

namespace knee::test {
namespace {

std::vector<std::string> environment_with(const std::map<std::string, std::string>& changes) {
  auto all = changes;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const auto equals = text.find('=');
    if (equals != std::string::npos) all.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  std::vector<std::string> entries;
  for (const auto& [name, value] : all) entries.push_back(name + "=" + value);
  return entries;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (auto& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

void wait_for_text(const std::string& path, const std::string& text) {
  if (wait_until([&] { return content_of(path).find(text) != std::string::npos; })) return;
  throw std::runtime_error("'" + text + "' was never written; there is only:\n" + content_of(path));
}

}  // namespace

ChildProcess::ChildProcess(const Plan& plan) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const std::string out = folder_ / "out";
  const std::string err = folder_ / "err";
  constexpr int kWrite = O_WRONLY | O_CREAT | O_APPEND;
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, out.c_str(), kWrite, 0600);
  posix_spawn_file_actions_addopen(&actions, 2, err.c_str(), kWrite, 0600);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  // As from a shell: Cap'n Proto has this program ignore it, which children inherit.
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t broken_pipe;
  sigemptyset(&broken_pipe);
  sigaddset(&broken_pipe, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &broken_pipe);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
  auto arguments = plan.arguments;
  auto environment = environment_with(plan.environment);
  const int error = ::posix_spawnp(&pid_, arguments[0].c_str(), &actions, &attributes,
                                   pointers_to(arguments).data(), pointers_to(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw_errno("cannot start '" + arguments[0] + "'", error);
}

ChildProcess::~ChildProcess() {
  kill();
}

bool ChildProcess::is_alive() const {
  return !ended_ && test::is_alive(pid_);
}

void ChildProcess::signal(int number) const {
  if (!ended_) ::kill(pid_, number);
}

void ChildProcess::kill() {
  signal(SIGKILL);
  wait();
}

void ChildProcess::stop() const {
  signal(SIGSTOP);
  if (!wait_until([this] { return state_of(pid_) == 'T'; }))
    throw std::runtime_error("a process does not stop");
}

void ChildProcess::resume() const {
  signal(SIGCONT);
}

int ChildProcess::wait(std::chrono::steady_clock::duration deadline) {
  (void)wait_until(
      [this] {
        int status = 0;
        if (!ended_ && ::waitpid(pid_, &status, WNOHANG) == pid_)
          ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        return ended_.has_value();
      },
      deadline);
  return ended_.value_or(kLivesOn);
}

std::string ChildProcess::out() const {
  return content_of(folder_ / "out");
}
std::string ChildProcess::err() const {
  return content_of(folder_ / "err");
}
void ChildProcess::wait_for_err(const std::string& text) const {
  wait_for_text(folder_ / "err", text);
}
void ChildProcess::wait_for_out(const std::string& text) const {
  wait_for_text(folder_ / "out", text);
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream content;
  content << file.rdbuf();  // which takes a file of /proc whose process ends meanwhile for its end
  return content.str();
}

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size()))
    ++count;
  return count;
}

}  // namespace knee::test
