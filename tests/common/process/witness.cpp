#include "witness.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <stdexcept>

#include "behaviour.h"

namespace knee::test {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;

std::pair<process::Descriptor, process::Descriptor> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  return {process::Descriptor(ends[0]), process::Descriptor(ends[1])};
}

}  // namespace

bool wait_readable(int fd) {
  pollfd event{fd, POLLIN, 0};
  int found = 0;
  do {
    found = ::poll(&event, 1, static_cast<int>(duration_cast<milliseconds>(kDeadline).count()));
  } while (found < 0 && errno == EINTR);
  return found == 1;
}

Witness::Witness() {
  auto [read, write] = make_pipe();
  read_ = std::move(read);
  write_ = std::move(write);
}

void Witness::watch(process::SpawnPlan& plan) const {
  plan.descriptors.push_back({write_.get(), kWitness});
}

pid_t Witness::next_pid() {
  while (pending_.find('\n') == std::string::npos) {
    std::array<char, 64> text;
    if (!wait_readable(read_.get())) return 0;
    const auto size = ::read(read_.get(), text.data(), text.size());
    if (size <= 0) return 0;
    pending_.append(text.data(), static_cast<std::size_t>(size));
  }
  const auto end = pending_.find('\n');
  const pid_t pid = std::atoi(pending_.substr(0, end).c_str());
  pending_.erase(0, end + 1);
  return pid;
}

bool Witness::all_gone() {
  std::array<char, 256> text;
  while (wait_readable(read_.get())) {
    if (::read(read_.get(), text.data(), text.size()) == 0) return true;
  }
  return false;
}

std::optional<process::News> next_news(process::Keeper& keeper) {
  auto news = keeper.read_news();
  while (!news && wait_readable(keeper.control())) news = keeper.read_news();
  return news;
}

Story read_story(process::Keeper& keeper) {
  Story story;
  while (!story.gone) {
    const auto news = next_news(keeper);
    if (!news) break;
    if (const auto* item = std::get_if<process::Started>(&*news)) story.started = *item;
    if (const auto* item = std::get_if<process::StartFailed>(&*news)) story.failed = *item;
    if (const auto* item = std::get_if<process::DeathRecord>(&*news)) story.death = *item;
    story.gone = std::holds_alternative<process::KeeperGone>(*news);
  }
  return story;
}

Story run(const process::SpawnPlan& plan) {
  PatientKeepers keepers;
  auto keeper = keepers.start(plan);
  return read_story(keeper);
}

std::string read_all(int fd) {
  std::string all;
  std::array<char, 4096> text;
  while (wait_readable(fd)) {
    const auto size = ::read(fd, text.data(), text.size());
    if (size <= 0) break;
    all.append(text.data(), static_cast<std::size_t>(size));
  }
  return all;
}

std::string output_of(process::SpawnPlan plan) {
  auto [read, write] = make_pipe();
  plan.descriptors.push_back({write.get(), 1});
  plan.descriptors.push_back({write.get(), 2});
  PatientKeepers keepers;
  auto keeper = keepers.start(plan);
  write.reset();
  return read_all(read.get());
}

}  // namespace knee::test
