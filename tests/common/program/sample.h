#pragma once

#include <string>
#include <vector>

namespace sample {

/// A folder for one test, removed with all it holds.
class Folder {
 public:
  Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder();

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// How a program ended and what it wrote to stdout and stderr.
struct Run {
  int exit_code = -1;  ///< -1: a signal
  std::string output;

  bool says(const std::string& text) const { return output.find(text) != std::string::npos; }

  /// What follows "KEY=" on a line of the output; "(missing)" if there is none.
  std::string value(const std::string& key) const;

  /// The lines that start with `start`.
  std::vector<std::string> lines(const std::string& start) const;
};

/// Runs a program (looked up in PATH) to its end, with `environment` added to this process's.
Run run(const std::vector<std::string>& command, const std::vector<std::string>& environment = {});

/// A file of the samples' build folder.
std::string file(const std::string& name);

/// Runs the sample driver `name`, with its libraries, away from the user's cache.
Run driver(const std::string& name, const std::vector<std::string>& commands,
           const std::vector<std::string>& environment = {});

/// The drivers that the loader starts, and those without a loader.
std::vector<std::string> dynamic_drivers();
std::vector<std::string> static_drivers();

/// A sample driver that shipped itself into a folder.
struct Packed {
  Run run;  ///< of the driver that did it

  /// Starts the materialized program with the arguments `commands`, as a slave does. `descriptor`:
  /// what becomes of 999 in it, "keep" or "cloexec".
  Run start(const std::vector<std::string>& commands,
            const std::vector<std::string>& environment = {},
            const std::string& descriptor = "cloexec") const;

  /// The command line of start(), with `root` cut off every path.
  std::vector<std::string> command(const std::vector<std::string>& commands,
                                   const std::string& descriptor, const std::string& root) const;
};

/// Lets a driver ship itself into `folder`/program; `before` are commands it obeys first.
Packed pack(const std::string& name, const Folder& folder,
            const std::vector<std::string>& before = {});

}  // namespace sample
