#pragma once
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include <knee/detail/object.h>
#include <knee/error.h>
#include <knee/promise.h>

namespace knee {

namespace detail {

/// Whether there is nothing to call.
template <class F>
bool is_null(const F& callable) {
  if constexpr (std::is_pointer_v<F> || std::is_member_pointer_v<F>) return callable == nullptr;
  return false;
}
template <class R, class... A>
bool is_null(const std::function<R(A...)>& callable) {
  return callable == nullptr;
}

/// A callable of this process that others may call. It need not be one that can be copied.
template <class F, class R, class... A>
class Callable final : public LocalObject {
 public:
  explicit Callable(F callable) : callable_(std::move(callable)) {}
  void* local() noexcept override { return &function_; }
  const void* type() const noexcept override { return &type_tag<R(A...)>; }
  bool can_be_returned() const noexcept override { return false; }

 private:
  F callable_;
  std::function<R(A...)> function_{std::ref(callable_)};  ///< what all of them are called by
};

template <class R, class... A>
void thunk_of_callable(MethodCall& call) {
  carry_out<Signature<R, A...>>(call, *static_cast<std::function<R(A...)>*>(call.self));
}
template <class R, class... A>
inline Method invoker_of{&thunk_of_callable<R, A...>, spelling_of_type<R(A...)>(),
                         &type_tag<R(A...)>};

}  // namespace detail

/// A function that can be called from elsewhere: given to a remote call as an argument, it is
/// called back where it was made, on the callback thread of its cluster, and the caller waits for
/// its result. What it throws is thrown there, as Error with the same text.
///
/// Where it was made it is called at once, by the thread that calls it, also while it runs for
/// others.
///
/// In the call it was given to it may be called at any time; afterwards, as long as there are
/// copies of it there. A cheap value; what it was made from is held once, and need not be copyable.
/// Made from a null pointer or an empty std::function it is empty: calling it throws Error::usage.
template <class Signature>
class Function;
template <class R, class... A>
class Function<R(A...)> {
 public:
  Function() = default;
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, Function> && std::is_invocable_r_v<R, F&, A...>)
      Function(F function) {
    if (!detail::is_null(function))
      object_ = std::make_shared<detail::Callable<F, R, A...>>(std::move(function));
  }
  explicit operator bool() const noexcept { return object_ != nullptr; }

  R operator()(A... args) const {
    if (!object_) throw Error(Error::Kind::usage, "an empty knee::Function was called");
    detail::Bytes encoded;
    detail::CallContext context;
    detail::encode_arguments_in<detail::EncodedResultOf<R> (*)(A...)>(encoded, &context,
                                                                      std::forward<A>(args)...);
    detail::ObjectRef back;
    Promise<detail::EncodedResultOf<R>> answer(
        object_->call(detail::invoker_of<R, A...>, std::move(encoded), take_objects(context),
                      detail::kIsRef<R> ? &back : nullptr));
    if constexpr (detail::kIsRef<R>) {
      answer.get();
      return R(std::move(back));
    } else {
      return answer.get();
    }
  }

  /// For the library.
  explicit Function(detail::ObjectRef object) : object_(std::move(object)) {}
  const detail::ObjectRef& object() const { return object_; }

 private:
  detail::ObjectRef object_;
};

template <class S>
struct detail::ContextCodec<Function<S>> {
  static constexpr bool kDefined = true;
  static void write(ByteSink& sink, const Function<S>& function) {
    write_object(sink, function.object());
  }
  static void read(ByteSource& source, Function<S>& function) {
    function = Function<S>(read_object(source));
  }
};

template <class R, class... A>
struct detail::ContextCodec<std::function<R(A...)>> {
  static constexpr bool kDefined = true;
  static void write(ByteSink& sink, const std::function<R(A...)>& function) {
    write_object(sink, function ? Function<R(A...)>(function).object() : nullptr);
  }
  static void read(ByteSource& source, std::function<R(A...)>& function) {
    auto object = read_object(source);
    if (object) function = Function<R(A...)>(std::move(object));
  }
};

}  // namespace knee
