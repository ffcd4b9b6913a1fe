#include "driver_process.h"

#include <filesystem>

namespace knee::test {

ChildProcess::Plan DriverProcess::plan_for(const Setup& setup) {
  Plan plan;
  if (!setup.terminal.empty())
    plan.arguments = {"sh", "-c", R"(exec 2> "$0" "$@")", setup.terminal};
  for (const auto& word : {own_path(), std::string("--driver"), setup.part})
    plan.arguments.push_back(word);
  for (const auto& argument : setup.arguments) plan.arguments.push_back(argument);
  plan.environment = setup.environment;
  std::string slaves;
  for (const auto& slave : setup.slaves) slaves += (slaves.empty() ? "" : ",") + slave;
  if (!slaves.empty()) plan.environment.emplace("KNEE_SLAVES", slaves);
  plan.environment.emplace("KNEE_INSECURE", "yes");
  if (!setup.user.empty()) plan.environment.emplace("USER", setup.user);
  return plan;
}

std::string own_path() {
  return std::filesystem::read_symlink("/proc/self/exe");
}

}  // namespace knee::test
