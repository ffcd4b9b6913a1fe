#pragma once
#include <kj/async.h>

#include <cstdint>
#include <memory>

namespace knee::driver {

/// An upload that any number of tasks wait for. Goes on as long as this or a waiter is there. Lives
/// on the RPC loop.
class JointUpload {
 public:
  explicit JointUpload(kj::Promise<void> upload)
      : there_(upload
                   .then(
                       [state = state_]() -> kj::Promise<void> {
                         *state = State::arrived;
                         return kj::READY_NOW;
                       },
                       [state = state_](kj::Exception&& error) -> kj::Promise<void> {
                         *state = State::failed;
                         return kj::mv(error);
                       })
                   .fork()) {}

  kj::Promise<void> wait() { return there_.addBranch(); }
  /// It is to be tried again. Only marked: what failed must not be destroyed while it says so.
  bool failed() const { return *state_ == State::failed; }
  /// It has arrived, or failed.
  bool ended() const { return *state_ != State::sending; }

 private:
  enum class State : std::uint8_t { sending, arrived, failed };
  std::shared_ptr<State> state_ = std::make_shared<State>(State::sending);
  kj::ForkedPromise<void> there_;
};

}  // namespace knee::driver
