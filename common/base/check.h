#pragma once
#include <cerrno>
#include <string>
#include <system_error>

namespace knee {

/// The exception for a failed system call: "WHAT: strerror(error)".
[[noreturn]] inline void throw_errno(const std::string& what, int error = errno) {
  throw std::system_error(error, std::generic_category(), what);
}

/// Returns `result`, or throws with errno's text if it is negative.
/// `what` says what was tried and on what: "cannot open '/x'".
template <class Result>
Result check(Result result, const char* what) {
  if (result < 0) throw_errno(what);
  return result;
}

}  // namespace knee
