#pragma once
#include <chrono>
#include <cstdint>
#include <fstream>
#include <string>

namespace knee::cli {

/// A line for each job that has ended, in GNU parallel's format.
class JobLog {
 public:
  struct Job {
    std::uint64_t number = 0;
    std::string host;            ///< the slave
    double start = 0;            ///< seconds since 1970
    double run_time = 0;         ///< seconds
    std::uint64_t sent = 0;      ///< bytes of input files and standard input
    std::uint64_t received = 0;  ///< bytes of output and output files
    int exit_code = 0;
    int signal = 0;
    std::string command;
  };

  /// `path` empty: writes nothing. Throws std::system_error.
  explicit JobLog(const std::string& path);
  void add(const Job& job);

 private:
  std::ofstream file_;
};

}  // namespace knee::cli
