#pragma once
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <knee/codec.h>
#include <knee/detail/bytes.h>
#include <knee/detail/call_context.h>
#include <knee/detail/export.h>
#include <knee/detail/function_traits.h>
#include <knee/detail/task_state.h>
#include <knee/detail/use.h>

/// Live objects: what Ref<T> and the library share. Not part of the promise.
namespace knee {
class Object;
template <class T>
class Ref;
class Placement;
}  // namespace knee

namespace knee::detail {

/// One call as it arrives at the object: what a method's thunk is given.
struct MethodCall {
  void* self;  ///< null: the root of a process
  std::span<const std::byte> arguments;
  Bytes& result;
  ObjectRef returned{};  ///< set by a method that returns a reference
};

/// Tells types apart by its address, within one process.
template <class T>
KNEE_EXPORT inline char type_tag = 0;

/// A function on objects of one type. One static object per function, in every process of the
/// program at the same place. What is called from elsewhere must be one of these.
struct KNEE_EXPORT Method {
  using Thunk = void (*)(MethodCall&);
  Method(Thunk its_thunk, std::string_view its_label, const void* its_type);
  Method(const Method&) = delete;

  Thunk thunk;
  std::string_view label;  ///< as the compiler spells the function
  const void* type;        ///< tag of the object's type; null: it takes none
};

/// Whether that is the thunk of a method for objects of that type. Any thread.
bool is_method(Method::Thunk thunk, const void* type);

/// What a Ref holds: an object of this process, or the way to one of another. Destruction lets go
/// of it. Any thread.
class KNEE_EXPORT Object {
 public:
  Object() = default;
  Object(const Object&) = delete;
  virtual ~Object();

  /// The object itself and its type's tag, if it lives in this process.
  virtual void* local() noexcept { return nullptr; }
  virtual const void* type() const noexcept { return nullptr; }
  /// Why it could not be made, if that is known; null: nothing is known to have failed.
  virtual std::exception_ptr failure() const noexcept { return nullptr; }
  /// Whether a method that is given it could return it, for others to call. Functions cannot be.
  virtual bool can_be_returned() const noexcept { return true; }
  /// Whether it can be called by names and used in no other way, if that is known.
  bool only_callable() const noexcept { return only_callable_; }
  void set_only_callable() noexcept { only_callable_ = true; }
  /// Sends a call off. `returned`: receives what the method returns, if that is a reference; may be
  /// null.
  /// `objects`: what the arguments refer to.
  virtual TaskRef call(const Method& method, Bytes arguments, std::vector<ObjectRef> objects,
                       ObjectRef* returned) = 0;
  /// The same by names. `returned`: receives what it gives, as an object; may be null.
  virtual TaskRef use(Use use, ObjectRef* returned) = 0;

 private:
  std::atomic<bool> only_callable_ = false;
};

/// An object of this process: owns it. Calls on it are carried out at once, by the caller.
class KNEE_EXPORT LocalObject : public Object {
 public:
  TaskRef call(const Method& method, Bytes arguments, std::vector<ObjectRef> objects,
               ObjectRef* returned) override;
  TaskRef use(Use use, ObjectRef* returned) override;
  /// Carries out a use by names. Throws what goes wrong. Here: that it cannot be used so.
  virtual UseResult use_here(Use& use);
};

template <class T>
class Owned final : public LocalObject {
 public:
  template <class... Args>
  explicit Owned(Args&&... args) : object_(std::forward<Args>(args)...) {}
  void* local() noexcept override { return &object_; }
  const void* type() const noexcept override { return &type_tag<T>; }

 private:
  T object_;
};

/// One that somebody else owns, or shares.
template <class T>
class Shown final : public LocalObject {
 public:
  explicit Shown(std::shared_ptr<T> object) : object_(std::move(object)) {}
  void* local() noexcept override { return object_.get(); }
  const void* type() const noexcept override { return &type_tag<T>; }

 private:
  std::shared_ptr<T> object_;
};

/// Objects among arguments: their place in the call's table. `write_object` throws Error::usage
/// where there is none, as in a result or a shared value.
KNEE_EXPORT void write_object(ByteSink& sink, const ObjectRef& object);
/// Throws DecodeError. Null if null was written.
KNEE_EXPORT ObjectRef read_object(ByteSource& source);

/// The root of a process on the slave of a call site: what `make` is called on.
KNEE_EXPORT ObjectRef root_of(const CallSite& site, const Placement& placement);

template <class T>
inline constexpr bool kIsRef = false;
template <class T>
inline constexpr bool kIsRef<Ref<T>> = true;
template <>
inline constexpr bool kIsRef<knee::Object> = true;

// --- what a function on an object is like

/// What can be called on a T: a member function of it, or a function that takes a T& first.
template <class T, class F>
struct MethodTraits {};
template <class T, class R, class C, class... P>
requires(std::is_base_of_v<C, T>) struct MethodTraits<T, R (C::*)(P...)> : Signature<R, P...> {
};
template <class T, class R, class C, class... P>
requires(std::is_base_of_v<C, T>) struct MethodTraits<T, R (C::*)(P...) noexcept>
    : Signature<R, P...> {
};
template <class T, class R, class C, class... P>
requires(std::is_base_of_v<C, T>) struct MethodTraits<T, R (C::*)(P...) const>
    : Signature<R, P...> {
};
template <class T, class R, class C, class... P>
requires(std::is_base_of_v<C, T>) struct MethodTraits<T, R (C::*)(P...) const noexcept>
    : Signature<R, P...> {
};
template <class T, class R, class C, class... P>
requires(std::is_base_of_v<C, T>) struct MethodTraits<T, R (C::*)(P...) &> : Signature<R, P...> {
};
template <class T, class R, class C, class... P>
requires(std::is_base_of_v<C, T>) struct MethodTraits<T, R (C::*)(P...) & noexcept>
    : Signature<R, P...> {
};
template <class T, class R, class C, class... P>
requires(std::is_base_of_v<C, T>) struct MethodTraits<T, R (C::*)(P...) const&>
    : Signature<R, P...> {
};
template <class T, class R, class C, class... P>
requires(std::is_base_of_v<C, T>) struct MethodTraits<T, R (C::*)(P...) const& noexcept>
    : Signature<R, P...> {
};
template <class T, class R, class S, class... P>
requires(std::is_convertible_v<T&, S&>) struct MethodTraits<T, R (*)(S&, P...)>
    : Signature<R, P...> {
};
template <class T, class R, class S, class... P>
requires(std::is_convertible_v<T&, S&>) struct MethodTraits<T, R (*)(S&, P...) noexcept>
    : Signature<R, P...> {
};

/// The plain function with a method's parameters, whose arguments are encoded as a task's.
template <class R, class Parameters>
struct PlainFunctionOf;
template <class R, class... P>
struct PlainFunctionOf<R, Fields<P...>> {
  using type = R (*)(P...);
};
/// References travel beside the encoded result.
template <class R>
using EncodedResultOf = std::conditional_t<kIsRef<std::remove_cvref_t<R>>, void, R>;
template <class Traits>
using PlainOf = typename PlainFunctionOf<EncodedResultOf<typename Traits::Result>,
                                         typename Traits::Parameters>::type;

/// The same. Throws why it could not be made.
KNEE_EXPORT ObjectRef made(ObjectRef object);

/// Decodes the arguments, calls `function` with them and encodes what it returns, or keeps it as
/// the reference that it is.
template <class Traits, class F>
void carry_out(MethodCall& call, F&& function) {
  using Result = typename Traits::Result;
  apply_encoded(static_cast<typename Traits::Parameters*>(nullptr),
                static_cast<typename Traits::Decayed*>(nullptr), call.arguments, nullptr,
                [&]<class... A>(A&&... arg) {
                  if constexpr (kIsRef<std::remove_cvref_t<Result>>)
                    call.returned = made(function(std::forward<A>(arg)...).object());
                  else if constexpr (std::is_void_v<Result>)
                    function(std::forward<A>(arg)...);
                  else
                    encode<std::remove_cvref_t<Result>>(call.result,
                                                        function(std::forward<A>(arg)...));
                });
}

template <class T, auto function>
void thunk_of_method(MethodCall& call) {
  using F = std::remove_cv_t<decltype(function)>;
  T& self = *static_cast<T*>(call.self);
  carry_out<MethodTraits<T, F>>(call, [&self]<class... A>(A&&... args) -> decltype(auto) {
    return std::invoke(function, self, std::forward<A>(args)...);
  });
}
template <class T, auto function>
inline Method method_of{&thunk_of_method<T, function>, spelling_of_value<function>(), &type_tag<T>};

template <class T, auto member>
void thunk_of_get(MethodCall& call) {
  encode(call.result, static_cast<T*>(call.self)->*member);
}
template <class T, auto member>
inline Method getter_of{&thunk_of_get<T, member>, spelling_of_value<member>(), &type_tag<T>};

template <class M>
struct MemberOf;
template <class V, class C>
struct MemberOf<V C::*> {
  using type = V;
};
template <auto member>
using MemberType = std::remove_cv_t<typename MemberOf<std::remove_cv_t<decltype(member)>>::type>;

template <class T, auto member>
void thunk_of_set(MethodCall& call) {
  static_cast<T*>(call.self)->*member = decode<MemberType<member>>(call.arguments);
}
template <class T, auto member>
inline Method setter_of{&thunk_of_set<T, member>, spelling_of_value<member>(), &type_tag<T>};

/// Does nothing: when it has been called, all that was called before has ended.
KNEE_EXPORT extern const Method kWaiter;

/// What a call on an object may refer to.
KNEE_EXPORT std::vector<ObjectRef> take_objects(CallContext& context);

/// As what a constructor's argument travels: its parameters cannot be asked for their types.
template <class Arg>
using MakeArgument = std::conditional_t<std::is_convertible_v<Arg, const char*>, std::string,
                                        std::remove_cvref_t<Arg>>;

template <class T, class... Args>
void thunk_of_make(MethodCall& call) {
  using Traits = Signature<Ref<T>, Args...>;
  carry_out<Traits>(call, []<class... A>(A&&... args) {
    return Ref<T>(std::make_shared<Owned<T>>(std::forward<A>(args)...));
  });
}
template <class T, class... Args>
inline Method maker_of{&thunk_of_make<T, Args...>, spelling_of_type<T>(), nullptr};

template <class T, class... Args>
Ref<T> make(const ObjectRef& root, Args&&... args) {
  static_assert(std::is_constructible_v<T, MakeArgument<Args>...>,
                "knee: T has no constructor for these arguments");
  Bytes encoded;
  CallContext context;
  encode_arguments_in<void (*)(MakeArgument<Args>...)>(encoded, &context,
                                                       std::forward<Args>(args)...);
  ObjectRef made;
  root->call(maker_of<T, MakeArgument<Args>...>, std::move(encoded), take_objects(context), &made);
  return Ref<T>(std::move(made));
}

}  // namespace knee::detail
