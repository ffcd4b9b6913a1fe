#pragma once
#include <stdexcept>
#include <string>

#include <knee/detail/export.h>

namespace knee {

/// Why a task, a call or the library itself failed. The text says what was tried, on which slave,
/// in which attempt, and why it failed; the accessors give the same in parts. A value; copying is
/// cheap.
class KNEE_EXPORT Error : public std::runtime_error {
 public:
  enum class Kind {
    exception,      ///< the task threw; exception_type() and exception_text() say what
    exited,         ///< the task called exit()
    crashed,        ///< its worker was killed by a signal, in the last attempt it had
    timeout,        ///< it ran longer than TaskOptions::timeout
    out_of_memory,  ///< its worker was killed for want of memory
    cancelled,      ///< by cancel(), or by the end of its bag or cluster
    refused,        ///< no slave could run it, or keep what its command has left
    slave_lost,     ///< the slave went away in the last attempt it had, or lost its result
    usage,          ///< the library was used in a way that cannot work
    setup           ///< options, files, the local slave: the cluster cannot be had as asked
  };

  Error(Kind kind, const std::string& text) : runtime_error(text), kind_(kind) {}
  ~Error() override;
  Error(const Error&) = default;
  Error& operator=(const Error&) = default;

  Kind kind() const noexcept { return kind_; }
  /// Name of the slave of the last attempt; empty if there was none.
  const std::string& slave() const noexcept { return slave_; }
  /// What the task is called: its bag's name and its function.
  const std::string& task() const noexcept { return task_; }
  /// Number of the last attempt, from 1; 0: never started.
  int attempt() const noexcept { return attempt_; }
  /// Kind::exception: the C++ type of what was thrown and its what().
  const std::string& exception_type() const noexcept { return exception_type_; }
  const std::string& exception_text() const noexcept { return exception_text_; }
  /// Where it was thrown, in lines, if that is known: the traceback of a Python exception.
  const std::string& traceback() const noexcept { return traceback_; }

  /// For the library.
  struct Where {
    std::string slave;
    std::string task;
    int attempt = 0;
  };
  Error(Kind kind, const std::string& text, Where where, std::string exception_type = {},
        std::string exception_text = {}, std::string traceback = {});

 private:
  Kind kind_;
  std::string slave_;
  std::string task_;
  int attempt_ = 0;
  std::string exception_type_;
  std::string exception_text_;
  std::string traceback_;
};

}  // namespace knee
