#pragma once
#include <concepts>
#include <type_traits>
#include <utility>
#include <vector>

#include <knee/detail/object.h>
#include <knee/error.h>
#include <knee/promise.h>

namespace knee {

/// A reference to a live object, which may be in a worker of a slave (Slave::make). Calls on it are
/// sent at once, also while the object is still being made, and are carried out in order, one at a
/// time, in the process the object lives in.
///
/// Where the object lives in this process, calls are carried out at once, by the thread that calls.
///
/// A cheap value; any thread. Copies refer to the same object, which is destroyed when the last
/// reference to it is gone. With its cluster its process ends, and no destructor runs. When the
/// process has died, every call fails with what is known of its death.
template <class T>
class Ref {
 public:
  /// Refers to nothing.
  Ref() = default;
  explicit operator bool() const noexcept { return object_ != nullptr; }

  /// `object.call<&T::method>(args...)`, or a function that takes a T& before them. Gives a
  /// Promise of the result, or, if the function returns a Ref, that Ref, which can be called at
  /// once. An overloaded member function must be chosen by a cast:
  /// `call<static_cast<int (T::*)(int)>(&T::f)>(1)`; the parameter's name is what compilers print
  /// when that is missing.
  template <auto method_or_overload_chosen_by_static_cast, class... Args>
  auto call(Args&&... args) const {
    constexpr auto method = method_or_overload_chosen_by_static_cast;
    using Traits = detail::MethodTraits<T, std::remove_cv_t<decltype(method)>>;
    static_assert(
        requires { typename Traits::Result; },
        "knee: what is called on a Ref<T> must be a member function of T, or a function "
        "that takes a T& first");
    if constexpr (requires { typename Traits::Result; }) {
      using Result = std::remove_cvref_t<typename Traits::Result>;
      detail::Bytes encoded;
      detail::CallContext context;
      detail::encode_arguments_in<detail::PlainOf<Traits>>(encoded, &context,
                                                           std::forward<Args>(args)...);
      return send<Result>(detail::method_of<T, method>, std::move(encoded),
                          detail::take_objects(context));
    }
  }

  /// Sets a data member: `object.set<&T::x>(1.5)`.
  template <auto member, class Value>
  Promise<void> set(const Value& value) const {
    detail::check_self_contained<detail::MemberType<member>>();
    detail::Bytes encoded;
    detail::encode<detail::MemberType<member>>(encoded, value);
    return send<void>(detail::setter_of<T, member>, std::move(encoded));
  }
  /// A copy of a data member.
  template <auto member>
  Promise<detail::MemberType<member>> get() const {
    detail::check_self_contained<detail::MemberType<member>>();
    return send<detail::MemberType<member>>(detail::getter_of<T, member>, {});
  }

  /// Makes a U in the process that the object lives in. Not for what a driver offers.
  template <class U, class... Args>
  Ref<U> make(Args&&... args) const {
    if (!object_) throw Error(Error::Kind::usage, "make on a Ref that refers to nothing");
    return detail::make<U>(object_, std::forward<Args>(args)...);
  }

  /// Waits until the object is there. Throws why it could not be made.
  void wait() const { send<void>(detail::kWaiter, {}).get(); }

  /// The object itself if it lives in this process, else null.
  T* local() const noexcept { return object_ ? static_cast<T*>(object_->local()) : nullptr; }

  /// For the library.
  explicit Ref(detail::ObjectRef object) : object_(std::move(object)) {}
  const detail::ObjectRef& object() const { return object_; }

 private:
  template <class Result>
  auto send(const detail::Method& method, detail::Bytes arguments,
            std::vector<detail::ObjectRef> objects = {}) const {
    if (!object_) throw Error(Error::Kind::usage, "a call on a Ref that refers to nothing");
    if constexpr (detail::kIsRef<Result>) {
      detail::ObjectRef returned;
      object_->call(method, std::move(arguments), std::move(objects), &returned);
      return Result(std::move(returned));
    } else {
      return Promise<Result>(
          object_->call(method, std::move(arguments), std::move(objects), nullptr));
    }
  }

  detail::ObjectRef object_;
};

template <class T>
struct detail::ContextCodec<Ref<T>> {
  static constexpr bool kDefined = true;
  static void write(ByteSink& sink, const Ref<T>& ref) { write_object(sink, ref.object()); }
  static void read(ByteSource& source, Ref<T>& ref) { ref = Ref<T>(read_object(source)); }
};

/// Makes a T in this process and gives a reference to it: what a method returns that opens
/// something which stays where it is.
template <class T, class... Args>
Ref<T> make_ref(Args&&... args) {
  return Ref<T>(std::make_shared<detail::Owned<T>>(std::forward<Args>(args)...));
}

}  // namespace knee
