#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <knee/detail/archive_check.h>
#include <knee/detail/archive_shape.h>

/// What a task's function takes and gives, and why it cannot be a task.
namespace knee::detail {

template <class R, class... P>
struct Signature {
  using Result = R;
  using Parameters = Fields<P...>;
  using Decayed = Fields<std::decay_t<P>...>;
};

/// The signature of a function pointer or of a call operator; nothing for other types.
template <class F>
struct SignatureOf {};
template <class R, class... P>
struct SignatureOf<R (*)(P...)> : Signature<R, P...> {};
template <class R, class... P>
struct SignatureOf<R (*)(P...) noexcept> : Signature<R, P...> {};
template <class R, class C, class... P>
struct SignatureOf<R (C::*)(P...)> : Signature<R, P...> {};
template <class R, class C, class... P>
struct SignatureOf<R (C::*)(P...) noexcept> : Signature<R, P...> {};
template <class R, class C, class... P>
struct SignatureOf<R (C::*)(P...) const> : Signature<R, P...> {};
template <class R, class C, class... P>
struct SignatureOf<R (C::*)(P...) const noexcept> : Signature<R, P...> {};

template <class F>
inline constexpr bool kIsFunctionPointer =
    std::is_pointer_v<F>&& std::is_function_v<std::remove_pointer_t<F>>;
template <class F>
inline constexpr bool kHasCallOperator = requires {
  &F::operator();
};

template <class F>
struct FunctionTraits {};
template <class F>
requires(kIsFunctionPointer<F>) struct FunctionTraits<F> : SignatureOf<F> {
};
template <class F>
requires(std::is_class_v<F>&& kHasCallOperator<F>) struct FunctionTraits<F>
    : SignatureOf<decltype(&F::operator())> {
};

template <class F>
using ResultOf = typename FunctionTraits<F>::Result;
template <class F>
using ParametersOf = typename FunctionTraits<F>::Parameters;
template <class F>
using DecayedParametersOf = typename FunctionTraits<F>::Decayed;

template <class F>
inline constexpr bool kHasSignature = requires {
  typename FunctionTraits<F>::Result;
};
template <class F>
inline constexpr bool kHasState = std::is_class_v<F> && !std::is_empty_v<F>;
template <class F>
inline constexpr bool kIsRebuildable = !std::is_class_v<F> || std::is_default_constructible_v<F>;

template <class P>
inline constexpr bool kWritesBack =
    std::is_lvalue_reference_v<P> && !std::is_const_v<std::remove_reference_t<P>>;

template <class R>
consteval bool result_travels() {
  using Value = std::remove_cvref_t<R>;
  if constexpr (std::is_void_v<R>)
    return true;
  else if constexpr (travels<Value>())
    return !needs_context<Value>();
  else
    return false;
}

template <class F>
consteval bool is_task_function() {
  if constexpr (!kHasSignature<F> || kHasState<F> || !kIsRebuildable<F>)
    return false;
  else
    return []<class... P>(Fields<P...>*) {
      return result_travels<ResultOf<F>>() &&
             ((!kWritesBack<P> && travels<std::decay_t<P>>()) && ...);
    }(static_cast<ParametersOf<F>*>(nullptr));
}

template <class Parameter>
constexpr void check_parameter() {
  static_assert(!kWritesBack<Parameter>,
                "knee: a task cannot write through a reference parameter, its caller is on another "
                "machine; take it by value or const reference and return the result");
  if constexpr (!kWritesBack<Parameter>) check_value<std::decay_t<Parameter>>();
}

/// Fails to compile unless T holds nothing that only arguments can refer to.
template <class T>
constexpr void check_self_contained() {
  if constexpr (travels<T>())
    static_assert(!needs_context<T>(),
                  "knee: a knee::Ref, Object, Function or Shared can be an argument, but no part "
                  "of a shared value, or of a member that is read or set from elsewhere");
}

template <class R>
constexpr void check_result() {
  using Value = std::remove_cvref_t<R>;
  if constexpr (travels<Value>())
    static_assert(
        !needs_context<Value>(),
        "knee: a knee::Ref, Object, Function or Shared can be an argument, but no part of "
        "a result; methods and functions called on a Ref, and callbacks, may return a Ref "
        "or an Object, as the whole of it");
  else
    check_value<Value>();
}

/// Fails to compile, saying why, unless F can be a task.
template <class F>
constexpr void check_function() {
  if constexpr (!is_task_function<F>()) {
    static_assert(!std::is_member_pointer_v<F>,
                  "knee: a member function cannot be a task; wrap it in a free function or a "
                  "captureless lambda that takes the object");
    static_assert(std::is_member_pointer_v<F> || kIsFunctionPointer<F> || std::is_class_v<F>,
                  "knee: a task must be a function or a captureless lambda");
    static_assert(!kHasState<F> && kIsRebuildable<F>,
                  "knee: a task's lambda must not capture anything, for its captures would stay "
                  "here: write [] and pass them as arguments");
    static_assert(!std::is_class_v<F> || kHasCallOperator<F>,
                  "knee: a task's lambda must name its parameter types: `auto` parameters and "
                  "overloaded call operators leave open what to send");
    static_assert(!kIsFunctionPointer<F> || kHasSignature<F>,
                  "knee: a function with C variadic arguments (...) cannot be a task");
    if constexpr (kHasSignature<F> && !kHasState<F>) {
      []<class... P>(Fields<P...>*) {
        (check_parameter<P>(), ...);
      }(static_cast<ParametersOf<F>*>(nullptr));
      if constexpr (!result_travels<ResultOf<F>>()) check_result<ResultOf<F>>();
    }
  }
}

template <class Argument, class Parameter>
inline constexpr bool kArgumentFits = std::is_convertible_v<Argument, std::decay_t<Parameter>>;

template <class Argument, class Parameter>
constexpr void check_argument() {
  static_assert(kArgumentFits<Argument, Parameter>,
                "knee: an argument of this call does not convert to the type of its parameter");
}

template <class Parameters, class... Args>
consteval bool arguments_fit() {
  return []<class... P>(Fields<P...>*) {
    if constexpr (sizeof...(P) != sizeof...(Args))
      return false;
    else
      return (kArgumentFits<Args, P> && ...);
  }(static_cast<Parameters*>(nullptr));
}

template <class Parameters, class... Args>
constexpr void check_arguments() {
  []<class... P>(Fields<P...>*) {
    static_assert(sizeof...(P) == sizeof...(Args),
                  "knee: this call has not as many arguments as the function has parameters "
                  "(default arguments cannot be seen: write them out)");
    if constexpr (sizeof...(P) == sizeof...(Args)) (check_argument<Args, P>(), ...);
  }(static_cast<Parameters*>(nullptr));
}

/// `arg` itself if it is a P already, else a P made from it.
template <class P, class Arg>
decltype(auto) as_parameter(Arg&& arg) {
  if constexpr (std::is_same_v<std::remove_cvref_t<Arg>, P>)
    return static_cast<const P&>(arg);
  else
    return [](P made) { return made; }(std::forward<Arg>(arg));
}

}  // namespace knee::detail
