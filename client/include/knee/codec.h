#pragma once

#include <cereal/types/bitset.hpp>
#include <cereal/types/chrono.hpp>
#include <cereal/types/deque.hpp>
#include <cereal/types/list.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/set.hpp>
#include <cereal/types/unordered_map.hpp>
#include <cereal/types/unordered_set.hpp>
#include <cereal/types/variant.hpp>
#include <cstddef>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include <knee/detail/archive.h>
#include <knee/detail/bytes.h>
#include <knee/detail/function_traits.h>

namespace knee {

/// True if a T can be a task's argument or result. That is so for
/// - numbers, bool, enums, std::byte;
/// - std::string, vector, array, pair, tuple, optional, complex, map, set, unordered_map,
///   unordered_set, deque, list, variant, bitset and chrono's durations, of such types;
/// - plain aggregates of such types: `struct Point { double x, y; };` needs nothing;
/// - every type cereal can write and read, by functions of yours or by one of cereal's headers that
///   you include (smart pointers: <cereal/types/memory.hpp>).
/// T must be default constructible. The answer for a type with cereal functions of your own is
/// "yes" without looking at what they write.
template <class T>
inline constexpr bool is_value = detail::travels<T>();

template <class T>
concept Sendable = is_value<T>;

namespace detail {

/// Translates cereal's complaints about damaged bytes (an unknown variant index, say).
template <class Read>
void with_reader(ByteSource& source, Read read_all) {
  try {
    Reader reader(source);
    read_all(reader);
  } catch (const cereal::Exception& failure) {
    throw DecodeError(std::string("cannot decode a value: ") + failure.what());
  }
}

/// Appends `values` to the sink, all by one archive, so that shared pointers stay shared.
template <class... T>
void write_all(ByteSink& sink, const T&... values) {
  if constexpr ((travels<T>() && ...)) {
    if constexpr ((is_direct<T>() && ...)) {
      (write(sink, values), ...);
    } else {
      Writer writer(sink);
      (write(writer, values), ...);
    }
  }
}

template <class... T>
void read_all(ByteSource& source, T&... values) {
  if constexpr ((travels<T>() && ...)) {
    if constexpr ((is_direct<T>() && ...))
      (read(source, values), ...);
    else
      with_reader(source, [&values...](Reader& reader) { (read(reader, values), ...); });
  }
}

/// Appends the encoding of `value`. Any thread. What user code throws goes through; `to` may then
/// hold part of the value.
template <class T>
void encode(Bytes& to, const T& value, void* context = nullptr) {
  check_value<T>();
  ByteSink sink{to, context};
  write_all(sink, value);
}

/// The value whose encoding `from` is, all of it. Throws DecodeError if it is not.
template <class T>
T decode(std::span<const std::byte> from, void* context = nullptr) {
  check_value<T>();
  if constexpr (travels<T>()) {
    ByteSource source(from, context);
    T value = T();
    read_all(source, value);
    source.expect_end();
    return value;
  } else {
    std::abort();  // Never compiled into a program: check_value has failed.
  }
}

/// Appends the arguments of a call of F (a function pointer or captureless lambda type), each
/// converted to the decayed type of its parameter, as in a plain call; but default arguments do
/// not exist.
template <class F, class... Args>
void encode_arguments_in(Bytes& to, void* context, Args&&... args) {
  check_function<F>();
  if constexpr (is_task_function<F>()) {
    using Wanted = ParametersOf<F>;
    check_arguments<Wanted, Args...>();
    if constexpr (arguments_fit<Wanted, Args...>()) {
      ByteSink sink{to, context};
      [&]<class... P>(Fields<P...>*) {
        write_all(sink, as_parameter<P>(std::forward<Args>(args))...);
      }(static_cast<DecayedParametersOf<F>*>(nullptr));
    }
  }
}

template <class F, class... Args>
void encode_arguments(Bytes& to, Args&&... args) {
  encode_arguments_in<F>(to, nullptr, std::forward<Args>(args)...);
}

/// Decodes arguments of these types and calls `function` with them, as a call with parameters of
/// the types P would. Throws DecodeError before the call.
template <class... P, class... D, class F>
void apply_encoded(Fields<P...>*, Fields<D...>*, std::span<const std::byte> args, void* context,
                   F&& function) {
  ByteSource source(args, context);
  std::tuple<D...> values{};
  std::apply([&source](auto&... value) { read_all(source, value...); }, values);
  source.expect_end();
  std::apply([&](auto&... value) { function(static_cast<P&&>(value)...); }, values);
}

/// Calls `function` with the arguments that `args` encodes and appends its result, if it has one.
/// Arguments move into parameters taken by value. Throws DecodeError before the call; what the
/// function throws goes through.
template <class F>
void invoke_encoded_with(F function, std::span<const std::byte> args, Bytes& result,
                         void* context = nullptr) {
  check_function<F>();
  if constexpr (is_task_function<F>()) {
    apply_encoded(static_cast<ParametersOf<F>*>(nullptr),
                  static_cast<DecayedParametersOf<F>*>(nullptr), args, context,
                  [&]<class... A>(A&&... arg) {
                    if constexpr (std::is_void_v<ResultOf<F>>)
                      function(std::forward<A>(arg)...);
                    else
                      encode<std::remove_cvref_t<ResultOf<F>>>(
                          result, function(std::forward<A>(arg)...), context);
                  });
  }
}

/// The same for a function known at compile time: `invoke_encoded<f>`, `invoke_encoded<[] { }>`.
template <auto function>
void invoke_encoded(std::span<const std::byte> args, Bytes& result, void* context = nullptr) {
  invoke_encoded_with<std::remove_cv_t<decltype(function)>>(function, args, result, context);
}

}  // namespace detail
}  // namespace knee
