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
    : family_(descendants_of(::getpid())), descriptors_(descriptors_of(::getpid()).size()) {
  for (const auto* slave : slaves)
    slaves_.push_back({slave, slave->pid(), descriptors_of(slave->pid()).size()});
}

std::string LeakCheck::found() const {
  std::string left;
  (void)wait_until([&] { return (left = left_now()).empty(); }, std::chrono::seconds(10));
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
  const auto own = descriptors_of(::getpid());
  if (own.size() > descriptors_)
    left += "descriptors of the driver: " + std::to_string(descriptors_) + " before, now\n" +
            text_of(own);
  for (const auto& before : slaves_) {
    // One that was killed meanwhile could not clear up.
    if (before.slave->pid() != before.pid) continue;
    if (before.slave->process().is_alive()) {
      const auto now = descriptors_of(before.pid);
      if (now.size() > before.descriptors)
        left += "descriptors of slave " + before.slave->name() + ": " +
                std::to_string(before.descriptors) + " before, now\n" + text_of(now);
    }
    if (const auto folders = task_folders(before.slave->scratch()); !folders.empty())
      left += "folders of tasks:\n" + text_of(folders);
  }
  return left;
}

}  // namespace knee::test
