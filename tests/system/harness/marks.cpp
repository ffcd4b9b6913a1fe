#include "marks.h"

#include <fcntl.h>
#include <unistd.h>

#include <sstream>
#include <stdexcept>

#include "common/base/check.h"
#include "common/base/unique_fd.h"
#include "tests/system/harness/child_process.h"
#include "tests/system/harness/wait_until.h"

namespace knee::test {

void leave_mark(const std::string& path, const std::string& line) {
  const UniqueFd file(check(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600),
                            "cannot open a file of marks"));
  const std::string whole = line + "\n";
  if (::write(file.get(), whole.data(), whole.size()) != static_cast<ssize_t>(whole.size()))
    throw std::runtime_error("cannot leave a mark in " + path);
}

std::vector<std::string> marks_in(const std::string& path) {
  std::vector<std::string> lines;
  std::istringstream text(content_of(path));
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}

void wait_for_marks(const std::string& path, std::size_t count) {
  if (!wait_until([&] { return marks_in(path).size() >= count; }))
    throw std::runtime_error(path + " has " + std::to_string(marks_in(path).size()) + " lines, " +
                             std::to_string(count) + " were awaited");
}

}  // namespace knee::test
