#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <knee/options.h>
#include <knee/promise.h>

namespace knee::driver {
class InputSource;
}

namespace knee {

/// The standard input of one command, written while it runs: make one, put it into
/// Command::live_input, run that. A handle; copies share the input, which ends with `close` or with
/// the last of them. Thread-safe.
class KNEE_EXPORT LiveInput {
 public:
  LiveInput();

  /// Hands bytes over, in order. Blocks while more than 1 MiB waits for the command to start, or to
  /// read it: so run the command first, and do not call this in callbacks. False: the command takes
  /// no more, since it has ended or closed its standard input, or `close` was called; what it has
  /// not read is thrown away, and that is no failure of the command. The end of the command or of
  /// its cluster ends a call that blocks.
  bool write(std::string_view bytes);

  /// Nothing comes after what was written: the command reads the end of its input.
  void close();

  /// For the library.
  std::shared_ptr<driver::InputSource> source() const;

 private:
  struct Handle;
  std::shared_ptr<Handle> handle_;
};

/// A file that goes with a command.
struct InputFile {
  /// Here. Of a folder all regular files below it go, and links to files as copies of these; empty
  /// folders and linked folders do not.
  std::string path;
  std::string name;  ///< there, relative to the working folder; empty: path's last part
};

/// An existing executable to be run on a slave. argv[0] is a path there, a name found by the
/// slave's PATH, or the name of one of the inputs (also as "./name").
struct Command {
  std::vector<std::string> arguments;    ///< argv
  std::vector<std::string> environment;  ///< "NAME=value", over the slave's own
  std::string input;                     ///< the whole of its standard input; empty: /dev/null
  /// Standard input that comes while it runs, instead of `input`. Such a command is run once,
  /// whatever TaskOptions::attempts and repeatable say, since its input cannot be said again: if
  /// its slave is lost it fails. For the same reason a LiveInput is of one command, and a copy of
  /// this Command cannot be run.
  std::optional<LiveInput> live_input = std::nullopt;
  std::vector<InputFile> inputs;     ///< copied there before it starts, by content, once per slave
  std::vector<std::string> outputs;  ///< files (or folders) it makes, fetched when it has ended
  /// Working folder there. Empty: one of its own, removed afterwards; the only one inputs can be
  /// put into.
  std::string folder;

  enum class Output {
    keep,   ///< comes back in the result; at most 16 MiB of each
    print,  ///< appears here line by line as it comes, with the slave's name before it
    pass    ///< appears here unchanged as it comes; when nobody reads it here, the command gets
            ///< SIGPIPE
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
