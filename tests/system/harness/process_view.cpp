#include "process_view.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "common/process/stat.h"
#include "tests/system/harness/child_process.h"

namespace knee::test {
namespace {

bool runs(const process::ProcessStat& stat) {
  return stat.state != 'Z' && stat.state != 'X';
}

/// Descendants, ended ones included: those may still have children that run.
std::vector<pid_t> family_of(pid_t pid) {
  const auto all = process::read_all_stats();
  if (!all) return {};
  std::vector<pid_t> family{pid};
  for (std::size_t i = 0; i < family.size(); ++i)
    for (const auto& stat : *all)
      if (stat.parent == family[i]) family.push_back(stat.pid);
  family.erase(family.begin());
  return family;
}

}  // namespace

bool is_alive(pid_t pid) {
  const auto stat = process::read_stat(pid);
  return stat && runs(*stat);
}

std::vector<pid_t> descendants_of(pid_t pid) {
  auto family = family_of(pid);
  std::erase_if(family, [](pid_t member) { return !is_alive(member); });
  return family;
}

std::vector<pid_t> zombies_below(pid_t pid) {
  auto family = family_of(pid);
  std::erase_if(family, [](pid_t member) { return state_of(member) != 'Z'; });
  return family;
}

std::vector<pid_t> descendants_with(pid_t pid, const std::string& text) {
  auto family = descendants_of(pid);
  std::erase_if(family, [&](pid_t member) {
    return command_line_of(member).find(text) == std::string::npos;
  });
  return family;
}

char state_of(pid_t pid) {
  const auto stat = process::read_stat(pid);
  return stat ? stat->state : '?';
}

std::uint64_t resident_memory_of(pid_t pid) {
  const auto stat = process::read_stat(pid);
  return stat ? stat->resident : 0;
}

std::string command_line_of(pid_t pid) {
  std::string text = content_of("/proc/" + std::to_string(pid) + "/cmdline");
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text;
}

std::vector<std::string> descriptors_of(pid_t pid) {
  namespace fs = std::filesystem;
  std::vector<std::string> descriptors;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd", error)) {
    const auto target = fs::read_symlink(entry.path(), error);
    if (error) continue;  // the iterator's own
    if (target.string().starts_with("/proc/")) continue;
    descriptors.push_back(entry.path().filename().string() + " -> " + target.string());
  }
  std::sort(descriptors.begin(), descriptors.end());
  return descriptors;
}

std::string kind_of_descriptor(const std::string& text) {
  const std::string arrow = " -> ";
  const auto target = text.substr(text.find(arrow) + arrow.size());
  if (target.starts_with("/memfd:")) return "memory";
  if (target.starts_with("/")) return "file";
  // "socket:[1234]" is one of many, "anon_inode:[eventfd]" is not.
  const auto number = target.find(":[");
  const bool numbered = number != target.npos && std::isdigit(target[number + 2]) != 0;
  return numbered ? target.substr(0, number) : target;
}

std::string describe(const std::vector<pid_t>& processes) {
  std::string text;
  for (const pid_t pid : processes)
    text += "  " + std::to_string(pid) + " " + state_of(pid) + " " + command_line_of(pid) + "\n";
  return text;
}

}  // namespace knee::test
