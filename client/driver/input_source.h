#pragma once
#include <kj/async.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

namespace knee::driver {

/// What comes next of a live input.
struct InputChunk {
  std::string bytes;
  bool end = false;   ///< nothing comes after it
  bool over = false;  ///< the command takes no more: there is nothing to send
};

/// The live input of one command between the user's threads, which write, and the RPC loop, which
/// takes chunks. Shared by the handles (LiveInput), the command's job and what feeds it.
class InputSource : public std::enable_shared_from_this<InputSource> {
 public:
  /// What may wait here before `write` blocks.
  static constexpr std::size_t kMostWaiting = std::size_t{1024} * 1024;
  /// One chunk is on its way at a time, so over a round trip of 10 ms this gives 50 MB/s. What is
  /// written little by little does not wait for more.
  static constexpr std::size_t kChunk = std::size_t{512} * 1024;

  // Any thread:

  /// As LiveInput::write and close.
  bool write(std::string_view bytes);
  void close();
  /// The command takes no more. Ends all writes that block.
  void end();

  /// Makes it the input of a command. False: it was made that of one before.
  bool claim();

  // The RPC loop:

  /// Whoever is the first to ask feeds the command.
  bool begin_feeding() { return !std::exchange(feeding_, true); }
  /// The next chunk, as soon as there is one. One call at a time; a chunk is lost if its promise is
  /// dropped.
  kj::Promise<InputChunk> next();

 private:
  bool has_news() const { return !chunks_.empty() || closed_ || over_; }
  void when_news(std::function<void()> job);
  /// Empties `waiter_`, for whoever then calls it without the lock.
  std::function<void()> take_waiter();
  InputChunk take();

  std::mutex mutex_;
  std::condition_variable room_;
  std::deque<std::string> chunks_;
  std::size_t waiting_ = 0;  ///< bytes in `chunks_`
  bool claimed_ = false;
  bool closed_ = false;
  bool over_ = false;
  bool feeding_ = false;
  std::function<void()> waiter_;  ///< makes `next` resolve
};

}  // namespace knee::driver
