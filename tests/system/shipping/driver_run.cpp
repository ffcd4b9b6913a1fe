#include "driver_run.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

namespace knee::test {
namespace {

ChildProcess::Plan plan_for(const DriverPlan& plan, const TemporaryFolder& folder) {
  ChildProcess::Plan process;
  process.arguments = plan.around;
  process.arguments.push_back(built(plan.driver));
  for (const auto& word : plan.words) process.arguments.push_back(word);
  process.arguments.emplace_back("--knee-no-progress");
  for (const auto& address : plan.slaves)
    process.arguments.insert(process.arguments.end(), {"--knee-slaves", address});
  if (plan.slaves.empty())
    process.arguments.insert(process.arguments.end(), {"--knee-slots", std::to_string(plan.slots)});
  std::string libraries;
  for (const auto& path : plan.library_folders) libraries += (libraries.empty() ? "" : ":") + path;
  if (!libraries.empty()) process.environment["LD_LIBRARY_PATH"] = libraries;
  process.environment["XDG_CACHE_HOME"] = folder / "cache";
  process.environment["HOME"] = folder.path();
  return process;
}

}  // namespace

DriverRun::DriverRun(const DriverPlan& plan) : process_(plan_for(plan, folder_)) {}

std::string DriverRun::ended_with(int code, std::chrono::seconds deadline) {
  const auto end = process_.wait(deadline);
  INFO(process_.out() << process_.err());
  REQUIRE(end == code);
  return process_.out();
}

std::string DriverRun::printed(std::chrono::seconds deadline) {
  return ended_with(0, deadline);
}
std::string DriverRun::failure() {
  return ended_with(1, std::chrono::seconds(100));
}

std::string built(const std::string& name) {
  return std::filesystem::path(DRIVERS) / name;
}

std::vector<std::string> library_folders() {
  return {KNEE_LIBRARY_FOLDER, built("libraries")};
}

void skip(const std::string& why) {
  WARN("skipped: " << why);
}

bool is_installed(const std::string& program) {
  const std::string path = std::getenv("PATH");
  for (std::size_t begin = 0; begin <= path.size();) {
    const auto end = std::min(path.find(':', begin), path.size());
    if (::access((path.substr(begin, end - begin) + "/" + program).c_str(), X_OK) == 0) return true;
    begin = end + 1;
  }
  return false;
}

}  // namespace knee::test
