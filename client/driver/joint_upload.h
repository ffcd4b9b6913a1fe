#pragma once
#include <kj/async.h>

#include <memory>

namespace knee::driver {

/// An upload that any number of tasks wait for. Goes on as long as this or a waiter is there. Lives
/// on the RPC loop.
class JointUpload {
 public:
  explicit JointUpload(kj::Promise<void> upload)
      : there_(upload
                   .catch_([failed = failed_](kj::Exception&& error) -> kj::Promise<void> {
                     *failed = true;
                     return kj::mv(error);
                   })
                   .fork()) {}

  kj::Promise<void> wait() { return there_.addBranch(); }
  /// It is to be tried again. Only marked: what failed must not be destroyed while it says so.
  bool failed() const { return *failed_; }

 private:
  std::shared_ptr<bool> failed_ = std::make_shared<bool>(false);
  kj::ForkedPromise<void> there_;
};

}  // namespace knee::driver
