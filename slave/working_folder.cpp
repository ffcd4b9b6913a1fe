#include "working_folder.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "common/base/check.h"
#include "slave/store/run_folder.h"

namespace knee::slave {
namespace {

using std::chrono::milliseconds;

/// A machine under load takes its time to kill a tree of processes. Meanwhile a thread waits.
constexpr auto kPatience = std::chrono::seconds(1);
constexpr auto kFirstPause = milliseconds(5);
constexpr auto kLongestPause = milliseconds(100);

/// Somebody still writes there; nothing else passes by waiting.
bool may_pass(std::error_code error) {
  return error == std::errc::directory_not_empty || error == std::errc::device_or_resource_busy;
}

}  // namespace

std::string make_working_folder(const std::string& scratch, const std::string& prefix) {
  std::string path = scratch + "/" + prefix + "-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr)
    throw_errno("cannot make a working folder in '" + scratch + "' (is the disk full?)");
  return path;
}

void remove_working_folder(const std::string& path) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  for (auto pause = kFirstPause;; pause = std::min(2 * pause, kLongestPause)) {
    if (!may_pass(remove_tree(path)) || std::chrono::steady_clock::now() > end) return;
    std::this_thread::sleep_for(pause);
  }
}

WorkingFolder::~WorkingFolder() {
  if (!path_) return;
  // The job outlives this: nobody waits for its promise.
  auto removed = disk_->run([path = *path_] { remove_working_folder(path); });
}

}  // namespace knee::slave
