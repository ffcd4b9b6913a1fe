#pragma once
#include <knee/cluster.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/command_template.h"
#include "cli/halt_policy.h"
#include "cli/job_log.h"

namespace knee::cli {

/// What `knee bag` was told.
struct BagSettings {
  std::string line;                  ///< the template; empty: each argument is a command line
  std::vector<std::string> inputs;   ///< templates of files that go along
  std::vector<std::string> outputs;  ///< templates of files that are fetched
  std::vector<std::string> environment;
  std::string job_log;
  std::size_t jobs = 0;  ///< at once; 0: as many as there are slots
  bool keep_order = false;
  HaltPolicy halt;
  double timeout = 0;  ///< seconds; 0: none
  unsigned attempts = 3;
};

/// The jobs of one `knee bag`, from the first argument to the exit code. Output of a job appears
/// when it has ended, in one piece. One thread calls, another one feeds; results come on the
/// cluster's callback thread.
class BagRun {
 public:
  BagRun(Cluster& cluster, BagSettings settings);

  /// Runs a job for each argument; gives the exit code: the number of jobs that failed, at most
  /// 101, or that of the job that halted it.
  int run(Arguments arguments);

 private:
  struct Job {
    std::uint64_t number;
    std::string line;
    std::uint64_t sent = 0;
    double start = 0;
  };

  /// Starts jobs until there are no more arguments, or it is to stop.
  void feed(Arguments& arguments);
  bool wait_for_room();
  /// False: all have ended, and no more will come.
  bool wait_for_jobs();
  /// What runs is to be killed.
  bool stops_now();
  void start(std::uint64_t number, const std::vector<std::string>& arguments);
  void ended(const Job& job, const CommandResult& result);
  void failed(const Job& job, const Error& error);
  void count(std::uint64_t number, int exit_code);
  void show(std::uint64_t number, std::string out, std::string err);
  void print(const std::string& out, const std::string& err);
  /// False: nobody reads it any more.
  bool print_to(int fd, const std::string& text);
  int exit_code() const;

  /// How many jobs may be with the cluster.
  std::size_t most_at_once() const;

  const Cluster& cluster_;
  BagSettings settings_;
  CommandTemplate template_;
  JobLog log_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t running_ = 0;
  bool fed_ = false;  ///< there are no more jobs to come
  std::uint64_t succeeded_ = 0;
  std::uint64_t failed_ = 0;
  std::optional<int> halted_;              ///< exit code of the job that was the last straw
  std::atomic<bool> reader_gone_ = false;  ///< of stdout: no job is worth its time any more
  const bool on_terminal_;                 ///< stderr, where the progress line may be
  std::atomic<bool> whole_lines_ = true;   ///< what was printed last ended a line
  struct Text {
    std::string out;
    std::string err;
  };
  std::uint64_t shown_ = 0;             ///< with keep_order: jobs up to this one were shown
  std::map<std::uint64_t, Text> held_;  ///< output that waits for jobs before it
  Bag bag_;                             ///< ends first: its callbacks use the rest
};

}  // namespace knee::cli
