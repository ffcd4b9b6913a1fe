#pragma once
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/system/harness/slave_process.h"

namespace knee::test {

/// The real `knee` with these words, run to its end or not.
struct Tool : ChildProcess {
  static Plan plan(std::vector<std::string> words, std::map<std::string, std::string> environment) {
    words.insert(words.begin(), KNEE_TOOL);
    return {std::move(words), std::move(environment)};
  }
  explicit Tool(std::vector<std::string> words, std::map<std::string, std::string> environment = {})
      : ChildProcess(plan(std::move(words), std::move(environment))) {}
  explicit Tool(const SlaveProcess& slave, std::vector<std::string> words)
      : Tool(std::move(words), {{"KNEE_SLAVES", slave.address()}}) {}
};

/// The same in a shell, where input and folders can be said.
struct Script : ChildProcess {
  Script(const SlaveProcess& slave, const std::string& text)
      : ChildProcess(
            {{"sh", "-c", text}, {{"KNEE_SLAVES", slave.address()}, {"knee", KNEE_TOOL}}}) {}
};

/// What it has written to stderr, without the news that it still waits for slaves, which come when
/// the machine is busy.
inline std::string complaints_of(const ChildProcess& tool) {
  std::istringstream lines(tool.err());
  std::string complaints;
  for (std::string line; std::getline(lines, line);)
    if (!line.starts_with("knee: no slave yet") && !line.starts_with("knee:   "))
      complaints += line + '\n';
  return complaints;
}

}  // namespace knee::test
