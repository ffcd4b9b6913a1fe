#pragma once
#include <exception>
#include <utility>

#include <knee/promise.h>

namespace knee::detail {

/// A promise whose failure is of no interest, and is reported by nobody, if it is dropped.
template <class T>
class Pending {
 public:
  Pending(Promise<T> promise) : promise_(std::move(promise)) {}
  Pending(Pending&&) noexcept = default;
  Pending& operator=(Pending&&) = delete;
  ~Pending() { drop(); }

  T get() { return promise_.get(); }
  bool ready() const { return promise_.ready(); }

 private:
  void drop() noexcept try {
    if (!promise_.valid()) return;
    if (promise_.ready())  // its cluster may be gone, so nothing can be asked of that
      (void)promise_.get();
    else if constexpr (std::is_void_v<T>)
      promise_.then([] {}, [](const std::exception_ptr&) {});
    else
      promise_.then([](const T&) {}, [](const std::exception_ptr&) {});
  } catch (...) {
  }

  Promise<T> promise_;
};

}  // namespace knee::detail
