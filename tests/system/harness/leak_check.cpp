#include "leak_check.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "tests/system/harness/process_view.h"

namespace knee::test {
namespace {

std::string text_of(const std::vector<std::string>& lines) {
  std::string text;
  for (const auto& line : lines) text += "  " + line + "\n";
  return text;
}

/// Folders of tasks below the scratch folders of slaves.
std::vector<std::string> task_folders(const std::string& scratch) {
  namespace fs = std::filesystem;
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& slave : fs::directory_iterator(scratch, error))
    for (const auto& entry : fs::directory_iterator(slave.path(), error))
      found.push_back(entry.path());
  return found;
}

}  // namespace

LeakCheck::LeakCheck(std::vector<const SlaveProcess*> slaves)
    : family_(descendants_of(::getpid())), descriptors_(kinds_of(descriptors_of(::getpid()))) {
  for (const auto* slave : slaves)
    slaves_.push_back({slave, slave->pid(), kinds_of(descriptors_of(slave->pid()))});
}

std::string LeakCheck::found() const {
  std::string left;
  (void)wait_until([&] { return (left = left_now()).empty(); }, std::chrono::seconds(10));
  return left;
}

std::string LeakCheck::found_unreaped() const {
  std::string left;
  (void)wait_until([&] { return (left = unreaped_now()).empty(); }, std::chrono::seconds(15));
  return left;
}

LeakCheck::Kinds LeakCheck::kinds_of(const std::vector<std::string>& descriptors) {
  Kinds kinds;
  for (const auto& descriptor : descriptors) ++kinds[kind_of_descriptor(descriptor)];
  return kinds;
}

std::string LeakCheck::added(const Kinds& before, const std::vector<std::string>& now) {
  std::string more;
  for (const auto& [kind, count] : kinds_of(now)) {
    const auto old = before.find(kind);
    const std::size_t had = old == before.end() ? 0 : old->second;
    if (count > had)
      more += std::to_string(had) + " of " + kind + " before, " + std::to_string(count) + " now; ";
  }
  return more.empty() ? more : more + "all of them:\n" + text_of(now);
}

std::string LeakCheck::unreaped_now() const {
  std::string left;
  for (const auto& before : slaves_) {
    if (before.slave->pid() != before.pid || !before.slave->process().is_alive()) continue;
    if (const auto zombies = zombies_below(before.pid); !zombies.empty())
      left += "slave " + before.slave->name() + " has not waited for:\n" + describe(zombies);
  }
  return left;
}

std::string LeakCheck::left_now() const {
  std::string left;
  auto family = descendants_of(::getpid());
  std::erase_if(family, [this](pid_t pid) {
    return std::find(family_.begin(), family_.end(), pid) != family_.end() ||
           std::any_of(slaves_.begin(), slaves_.end(),
                       [pid](const Before& before) { return before.slave->pid() == pid; });
  });
  if (!family.empty()) left += "processes that were not there before:\n" + describe(family);
  if (const auto more = added(descriptors_, descriptors_of(::getpid())); !more.empty())
    left += "descriptors of the driver: " + more;
  for (const auto& before : slaves_) {
    // One that was killed meanwhile could not clear up.
    if (before.slave->pid() != before.pid) continue;
    if (before.slave->process().is_alive()) {
      const auto more = added(before.descriptors, descriptors_of(before.pid));
      if (!more.empty()) left += "descriptors of slave " + before.slave->name() + ": " + more;
    }
    if (const auto folders = task_folders(before.slave->scratch()); !folders.empty())
      left += "folders of tasks:\n" + text_of(folders);
  }
  return left;
}

}  // namespace knee::test
