#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace knee::detail {

template <class Signature, std::size_t InlineBytes = 32>
class SmallFunction;

/// Owns any callable, also one that can only be moved, and calls it through one indirect call.
/// Callables of up to InlineBytes that move without throwing live in the object itself, others on
/// the heap. Move-only; a moved-from function is empty. Calling an empty one is undefined. Destroys
/// its callable exactly once. Not thread safe; may be moved to another thread.
template <class R, class... Args, std::size_t InlineBytes>
class SmallFunction<R(Args...), InlineBytes> {
 public:
  SmallFunction() noexcept = default;
  SmallFunction(std::nullptr_t) noexcept {}

  /// Takes over `callable`; throws what copying or moving it throws, and std::bad_alloc.
  template <class F, class Callable = std::decay_t<F>>
  requires(!std::is_same_v<Callable, SmallFunction> && std::is_invocable_r_v<R, Callable&, Args...>)
      SmallFunction(F&& callable) {
    if constexpr (kFits<Callable>) {
      ::new (static_cast<void*>(storage_)) Callable(std::forward<F>(callable));
    } else {
      auto* const made = new Callable(std::forward<F>(callable));
      ::new (static_cast<void*>(storage_)) Callable*(made);
    }
    operations_ = &kOperations<Callable>;  // Last: if the above throws there is nothing to destroy.
  }

  SmallFunction(SmallFunction&& other) noexcept { take(other); }
  SmallFunction& operator=(SmallFunction&& other) noexcept {
    if (this != &other) {
      reset();
      take(other);
    }
    return *this;
  }
  SmallFunction& operator=(std::nullptr_t) noexcept {
    reset();
    return *this;
  }
  SmallFunction(const SmallFunction&) = delete;
  SmallFunction& operator=(const SmallFunction&) = delete;
  ~SmallFunction() { reset(); }

  explicit operator bool() const noexcept { return operations_ != nullptr; }

  R operator()(Args... args) { return operations_->call(storage_, std::forward<Args>(args)...); }

 private:
  struct Operations {
    R (*call)(void* storage, Args&&... args);
    // Moves the callable to raw storage and ends its life here. Null: copying the bytes does it.
    void (*relocate)(void* from, void* to) noexcept;
    // Null: nothing to do.
    void (*destroy)(void* storage) noexcept;
  };

  template <class Callable>
  static constexpr bool kFits =
      sizeof(Callable) <= InlineBytes &&
      alignof(Callable) <= alignof(void*) && std::is_nothrow_move_constructible_v<Callable>;

  template <class Callable>
  static Callable& callable_in(void* storage) noexcept {
    if constexpr (kFits<Callable>)
      return *std::launder(static_cast<Callable*>(storage));
    else
      return **std::launder(static_cast<Callable**>(storage));
  }

  template <class Callable>
  static R call(void* storage, Args&&... args) {
    if constexpr (std::is_void_v<R>)
      std::invoke(callable_in<Callable>(storage), std::forward<Args>(args)...);
    else
      return std::invoke(callable_in<Callable>(storage), std::forward<Args>(args)...);
  }

  template <class Callable>
  static void relocate(void* from, void* to) noexcept {
    Callable& callable = callable_in<Callable>(from);
    ::new (to) Callable(std::move(callable));
    std::destroy_at(&callable);
  }

  template <class Callable>
  static void destroy(void* storage) noexcept {
    if constexpr (kFits<Callable>)
      std::destroy_at(&callable_in<Callable>(storage));
    else
      delete &callable_in<Callable>(storage);
  }

  template <class Callable>
  static constexpr bool kMovesAsBytes = !kFits<Callable> || std::is_trivially_copyable_v<Callable>;
  template <class Callable>
  static constexpr bool kNeedsDestroy =
      !kFits<Callable> || !std::is_trivially_destructible_v<Callable>;

  template <class Callable>
  static constexpr Operations kOperations = {
      &call<Callable>, kMovesAsBytes<Callable> ? nullptr : &relocate<Callable>,
      kNeedsDestroy<Callable> ? &destroy<Callable> : nullptr};

  // This object is empty.
  void take(SmallFunction& other) noexcept {
    operations_ = std::exchange(other.operations_, nullptr);
    if (operations_ == nullptr) return;
    if (operations_->relocate == nullptr)
      std::memcpy(storage_, other.storage_, InlineBytes);
    else
      operations_->relocate(other.storage_, storage_);
  }

  // Empty before the callable dies, for its destructor may look at this object.
  void reset() noexcept {
    const Operations* const operations = std::exchange(operations_, nullptr);
    if (operations != nullptr && operations->destroy != nullptr) operations->destroy(storage_);
  }

  const Operations* operations_ = nullptr;
  alignas(void*) std::byte storage_[InlineBytes];

  static_assert(InlineBytes >= sizeof(void*) && InlineBytes % alignof(void*) == 0);
};

}  // namespace knee::detail
