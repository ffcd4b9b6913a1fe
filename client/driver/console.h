#pragma once
#include <boost/asio/thread_pool.hpp>

#include <array>
#include <atomic>
#include <string>

namespace knee::driver {

/// As much of the beginning of a line as fits into so many columns, counted as one per character:
/// whole UTF-8 characters only.
std::string cut_to_columns(const std::string& line, std::size_t columns);

/// Writes what tasks print to this process's stdout and stderr, in order, on a thread of its own: a
/// terminal may block. Any thread may call. Destruction writes what is left and wipes the status.
class Console {
 public:
  ~Console();

  /// Whole lines of a task, each gets `prefix`.
  void print(bool error, std::string prefix, std::string lines);
  /// Bytes as they are.
  void pass(bool error, std::string bytes);
  /// Whether what was written there last met a closed pipe.
  bool reader_gone(bool error) const { return reader_gone_[error].load(std::memory_order_relaxed); }
  /// A line of the library's own, to stderr.
  void say(std::string line);
  /// A line that stays below all that is printed to a terminal, until it is replaced; empty: none.
  /// To stderr, which must be a terminal. Cut to the terminal's width: of a line that wraps only
  /// the last row could be wiped.
  void status(std::string line);

 private:
  // On the writer's thread:
  void write(bool error, const std::string& text);
  void draw(const std::string& status);

  std::string status_;                              ///< as asked for; the writer's
  std::array<std::atomic<bool>, 2> reader_gone_{};  ///< of stdout and stderr
  boost::asio::thread_pool writer_{1};
};

}  // namespace knee::driver
