#include "common/program/cpu_flags.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

namespace knee::program {

std::vector<std::string> cpu_flags() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    // x86 and arm; other architectures do not list any.
    if (!line.starts_with("flags\t") && !line.starts_with("Features\t")) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    const std::set<std::string> flags{std::istream_iterator<std::string>(words), {}};
    return {flags.begin(), flags.end()};
  }
  return {};
}

std::vector<std::string> missing_cpu_flags(const std::vector<std::string>& wanted,
                                           const std::vector<std::string>& present) {
  std::vector<std::string> missing;
  std::set_difference(wanted.begin(), wanted.end(), present.begin(), present.end(),
                      std::back_inserter(missing));
  return missing;
}

}  // namespace knee::program
