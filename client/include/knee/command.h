#pragma once
#include <chrono>
#include <string>
#include <vector>

#include <knee/options.h>

namespace knee {

/// A file that goes with a command.
struct InputFile {
  std::string path;           ///< here
  std::string name;           ///< there, relative to the working folder; empty: path's last part
};

/// An existing executable to be run on a slave. argv[0] is a path there, a name found by the slave's PATH, or the
/// name of one of the inputs (as "./name").
struct Command {
  std::vector<std::string> arguments;    ///< argv
  std::vector<std::string> environment;  ///< "NAME=value", over the slave's own
  std::string input;                     ///< the whole of its standard input; empty: /dev/null
  std::vector<InputFile> inputs;         ///< copied there before it starts, by content, once per slave
  std::vector<std::string> outputs;      ///< files it makes, fetched when it has ended
  std::string folder;                    ///< working folder there; empty: one of its own, removed afterwards
};

struct OutputFile {
  std::string name;
  bool executable = false;
  std::string content;
};

/// How a command ended. A non-zero exit code is not a failure of the task.
struct CommandResult {
  int exit_code = 0;   ///< 128 + signal if it was killed by one
  int signal = 0;
  std::string out;     ///< stdout
  std::string err;     ///< stderr
  std::vector<OutputFile> files;
  std::vector<std::string> missing;  ///< outputs it did not make
  std::string slave;                 ///< where it ran
  std::chrono::nanoseconds run_time{0};
};

}  // namespace knee
