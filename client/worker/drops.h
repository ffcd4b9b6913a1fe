#pragma once
#include <kj/async.h>

#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "proto/object.capnp.h"

namespace knee::worker {

/// Objects elsewhere that threads without a loop let go of, until the thread they belong to takes
/// them. Made on that thread; shared by those who may let go, who may outlive it.
class Drops {
 public:
  /// Any thread. On their own thread they are gone at once.
  void drop(proto::Object::Client client) {
    if (std::this_thread::get_id() == thread_) return;
    const std::lock_guard lock(mutex_);
    if (closed_) {  // there is no loop left that it could end on
      (void)new proto::Object::Client(kj::mv(client));
      return;
    }
    clients_.push_back(kj::mv(client));
    bell_->fulfill();
  }

  // Of the host's thread:

  std::vector<proto::Object::Client> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(clients_, {});
  }
  /// Resolves when there is something more. What came before this must be taken afterwards.
  kj::Promise<void> next() {
    auto bell = kj::newPromiseAndCrossThreadFulfiller<void>();
    const std::lock_guard lock(mutex_);
    bell_ = kj::mv(bell.fulfiller);
    return kj::mv(bell.promise);
  }
  /// The host ends.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    bell_ = nullptr;
    clients_.clear();
  }

 private:
  const std::thread::id thread_ = std::this_thread::get_id();
  std::mutex mutex_;
  bool closed_ = false;
  std::vector<proto::Object::Client> clients_;
  kj::Own<kj::CrossThreadPromiseFulfiller<void>> bell_;
};

}  // namespace knee::worker
