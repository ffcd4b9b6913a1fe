#pragma once
#include <boost/asio/thread_pool.hpp>

#include <array>
#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

namespace knee::driver {

/// As much of the beginning of a line as fits into so many columns, counted as one per character:
/// whole UTF-8 characters only.
std::string cut_to_columns(const std::string& line, std::size_t columns);

/// Writes what tasks print to this process's stdout and stderr, in order, on a thread of its own: a
/// terminal may block. It takes whatever it is given; who can leave output where it is looks at
/// `waiting`. Any thread may call. Destruction writes what is left and wipes the status.
class Console {
 public:
  /// Of what waits to be written, in bytes: enough that a terminal never waits for a slave, and
  /// little beside what else a driver needs.
  static constexpr std::size_t kMostWaiting = std::size_t{8} * 1024 * 1024;

  ~Console();

  /// Whole lines of a task, each gets `prefix`.
  void print(bool error, std::string prefix, std::string lines);
  /// Bytes as they are.
  void pass(bool error, std::string bytes);
  /// About the memory, in bytes, of what waits to be written.
  std::size_t waiting() const { return waiting_; }
  /// Calls `relieved` on the writer's thread, once: when no more than half of kMostWaiting waits.
  void when_relieved(std::function<void()> relieved);
  /// Whether what was written there last met a closed pipe.
  bool reader_gone(bool error) const { return reader_gone_[error].load(std::memory_order_relaxed); }
  /// A line of the library's own, to stderr.
  void say(std::string line);
  /// A line that stays below all that is printed to a terminal, until it is replaced; empty: none.
  /// To stderr, which must be a terminal. Cut to the terminal's width: of a line that wraps only
  /// the last row could be wiped.
  void status(std::string line);

 private:
  /// Has `write` called on the writer's thread, in its turn; it holds so many bytes.
  template <class Write>
  void post(std::size_t bytes, Write write);

  // On the writer's thread:
  void written(std::size_t bytes);
  void write(bool error, const std::string& text);
  void draw(const std::string& status);

  std::string status_;                              ///< as asked for; the writer's
  std::array<std::atomic<bool>, 2> reader_gone_{};  ///< of stdout and stderr
  std::atomic<std::size_t> waiting_{0};
  std::mutex mutex_;
  std::vector<std::function<void()>> reliefs_;  ///< to be called
  boost::asio::thread_pool writer_{1};
};

}  // namespace knee::driver
