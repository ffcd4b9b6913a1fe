#pragma once
#include <boost/asio/thread_pool.hpp>

#include <string>

namespace knee::driver {

/// Writes what tasks print to this process's stdout and stderr, in order, on a thread of its own: a
/// terminal may block. Any thread may call. Destruction writes what is left.
class Console {
 public:
  ~Console();

  /// Whole lines of a task, each gets `prefix`.
  void print(bool error, std::string prefix, std::string lines);
  /// Bytes as they are.
  void pass(bool error, std::string bytes);
  /// A line of the library's own, to stderr.
  void say(std::string line);

 private:
  boost::asio::thread_pool writer_{1};
};

}  // namespace knee::driver
