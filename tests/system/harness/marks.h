#pragma once

#include <string>
#include <vector>

namespace knee::test {

/// How tasks in workers on this machine tell a test where they are, and wait for it: by files.

/// Appends a line in one step, so that any number of processes may do it at once.
void leave_mark(const std::string& path, const std::string& line);
std::vector<std::string> marks_in(const std::string& path);
/// Until there are so many lines. Throws when the deadline is over.
void wait_for_marks(const std::string& path, std::size_t count = 1);

}  // namespace knee::test
