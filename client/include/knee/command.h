#pragma once
#include <chrono>
#include <string>
#include <vector>

#include <knee/options.h>
#include <knee/promise.h>

namespace knee {

/// A file that goes with a command.
struct InputFile {
  std::string path;  ///< here; of a folder everything below it goes
  std::string name;  ///< there, relative to the working folder; empty: path's last part
};

/// An existing executable to be run on a slave. argv[0] is a path there, a name found by the
/// slave's PATH, or the name of one of the inputs (also as "./name").
struct Command {
  std::vector<std::string> arguments;    ///< argv
  std::vector<std::string> environment;  ///< "NAME=value", over the slave's own
  std::string input;                     ///< the whole of its standard input; empty: /dev/null
  std::vector<InputFile> inputs;     ///< copied there before it starts, by content, once per slave
  std::vector<std::string> outputs;  ///< files (or folders) it makes, fetched when it has ended
  /// Working folder there. Empty: one of its own, removed afterwards; the only one inputs can be
  /// put into.
  std::string folder;

  enum class Output {
    keep,   ///< comes back in the result; at most 16 MiB of each
    print,  ///< appears here line by line as it comes, with the slave's name before it
    pass    ///< appears here unchanged as it comes
  };
  /// What becomes of its stdout and stderr.
  Output output = Output::keep;
};

struct OutputFile {
  std::string name;
  bool executable = false;
  std::string content;
};

/// How a command ended. A non-zero exit code is not a failure of the task.
struct CommandResult {
  int exit_code = 0;  ///< 128 + signal if it was killed by one
  int signal = 0;
  std::string out;   ///< stdout, if kept
  std::string err;   ///< stderr, if kept
  bool cut = false;  ///< they were longer than is kept: the rest is lost
  std::vector<OutputFile> files;
  std::vector<std::string> missing;  ///< outputs it did not make
  std::string slave;                 ///< where it ran
  std::chrono::nanoseconds run_time{0};
};

namespace detail {

KNEE_EXPORT TaskRef submit_command(const CallSite& site, Command command,
                                   const TaskOptions* options);

/// A command's result is not encoded: it may hold gigabytes.
template <>
KNEE_EXPORT CommandResult result_of<CommandResult>(TaskState& state);

}  // namespace detail
}  // namespace knee
