#pragma once
#include <cerrno>
#include <string>

namespace knee::detail {

/// Throws std::runtime_error: "cannot WHAT 'PATH': REASON", and for what a user can do something
/// about, what.
[[noreturn]] void fail_on_file(const std::string& what, const std::string& path, int error = errno);

}  // namespace knee::detail
