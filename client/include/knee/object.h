#pragma once
#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <knee/detail/object.h>
#include <knee/detail/use.h>
#include <knee/promise.h>
#include <knee/value.h>

namespace knee {

namespace detail {
class ExposedObject;
class PendingUse;
class ValueStream;
template <>
KNEE_EXPORT Value result_of<Value>(TaskState& state);
}  // namespace detail

/// A reference to an object elsewhere that is used by names: a Python object on a slave (Python).
///
/// What gives another Object does not wait: it is sent at once, and so is what is called on its
/// result, so that a chain of calls is one round trip. `get`, `str`, `len` and what sets something
/// wait, and throw what went wrong on the way. Uses of the objects of one process are carried out
/// in order, one at a time.
///
/// A cheap value; any thread. Copies refer to the same object, which is let go when the last
/// reference to it is gone. What fails and was not looked at is printed to stderr then.
class KNEE_EXPORT Object {
 public:
  /// Refers to nothing.
  Object() = default;
  explicit operator bool() const noexcept { return object_ != nullptr; }

  /// An attribute.
  Object attr(std::string name) const;
  /// Sets an attribute, and waits for that.
  void set(std::string name, Value value) const;
  /// `object[key]`
  Object item(Value key) const;
  template <class Key>
  Object operator[](Key&& key) const {
    return item(Value(std::forward<Key>(key)));
  }
  /// `object[key] = value`, and waits for that.
  void set_item(Value key, Value value) const;

  /// Calls it. Arguments are what a Value can be made from; `named("base", 16)` is one by name.
  template <class... Args>
  Object operator()(Args&&... args) const {
    return use(with_arguments({}, std::forward<Args>(args)...));
  }
  /// Calls a method of it.
  template <class... Args>
  Object call(std::string method, Args&&... args) const {
    return use(with_arguments(std::move(method), std::forward<Args>(args)...));
  }
  /// The same as a promise of what it returns: plain data as a copy, however large, else an Object
  /// (`value.get<knee::Object>()`).
  template <class... Args>
  Promise<Value> async_call(std::string method, Args&&... args) const {
    return async_use(with_arguments(std::move(method), std::forward<Args>(args)...));
  }
  template <class... Args>
  Promise<Value> async(Args&&... args) const {
    return async_use(with_arguments({}, std::forward<Args>(args)...));
  }

  /// A copy of it as a T (see Value::get), which may also be Value. Waits.
  template <class T>
  T get() const {
    return value().get<T>();
  }
  Promise<Value> async_get() const;

  /// `str(object)`, `repr(object)`, `len(object)`. They wait.
  std::string str() const;
  std::string repr() const;
  std::size_t len() const;

  /// Waits until it is there. Throws why it could not be had.
  void wait() const;

  /// Goes through what is in it, once. Plain data come as copies, the rest as Objects. They are
  /// fetched in chunks, ahead of what is used: an iterator with side effects runs ahead as well.
  class Iterator;
  Iterator begin() const;
  std::default_sentinel_t end() const { return {}; }

  /// For the library.
  explicit Object(detail::ObjectRef object) : object_(std::move(object)) {}
  const detail::ObjectRef& object() const;
  Value as_value() const;
  static Object from_value(const Value& value);
  Object use(detail::Use use) const;
  Promise<Value> async_use(detail::Use use) const;
  detail::TaskRef send(detail::Use use) const;

 private:
  Object(detail::ObjectRef object, std::shared_ptr<detail::PendingUse> made)
      : object_(std::move(object)), made_(std::move(made)) {}
  Value value() const;
  const detail::ObjectRef& target() const;

  template <class... Args>
  static detail::Use with_arguments(std::string method, Args&&... args) {
    detail::Use use{.what = detail::Use::What::call, .name = std::move(method)};
    (add_argument(use, std::forward<Args>(args)), ...);
    return use;
  }
  template <class Arg>
  static void add_argument(detail::Use& use, Arg&& arg) {
    using Given = std::remove_cvref_t<Arg>;
    constexpr bool kNameless = detail::kIsRef<Given> && !std::is_same_v<Given, Object>;
    static_assert(
        !kNameless,
        "knee: what is given to an object that is used by names has to have names itself: "
        "pass a knee::Exposed in place of a knee::Ref");
    if constexpr (std::is_same_v<Given, Named>)
      use.named.push_back(std::forward<Arg>(arg));
    else if constexpr (!kNameless)
      use.arguments.push_back(Value(std::forward<Arg>(arg)));
  }

  detail::ObjectRef object_;
  std::shared_ptr<detail::PendingUse> made_;  ///< what gave it; null: it is there
};

/// An input iterator of Values. It blocks when the next chunk is not there yet.
class KNEE_EXPORT Object::Iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = Value;
  using difference_type = std::ptrdiff_t;

  explicit Iterator(std::shared_ptr<detail::ValueStream> stream);
  const Value& operator*() const;
  const Value* operator->() const { return &**this; }
  Iterator& operator++();
  void operator++(int) { ++*this; }
  bool operator==(std::default_sentinel_t) const;

 private:
  std::shared_ptr<detail::ValueStream> stream_;
};

namespace detail {

/// A function of this process takes its arguments as Values. Throws ArgumentError, before it is
/// called, if they are not what it takes.
using ValueFunction = std::function<Value(const std::vector<Value>&)>;

/// What a function was given is not what it takes. The text follows the function's name.
class KNEE_EXPORT ArgumentError : public Error {
 public:
  explicit ArgumentError(const std::string& why) : Error(Kind::usage, why) {}
};
[[noreturn]] KNEE_EXPORT void throw_wrong_count(std::size_t wanted, std::size_t given);

template <class T>
T argument_as(const Value& given) {
  try {
    return given.get<T>();
  } catch (const Error& error) {
    throw ArgumentError(std::string("was given a wrong argument: ") + error.what());
  }
}

/// A function of this process that others call.
struct KNEE_EXPORT NamedFunction {
  std::string name;  ///< for messages
  ValueFunction function;
  std::vector<std::string> parameters{};  ///< empty: arguments come by their places only

  /// Throws TypeError, as Python does, if the arguments are not what it takes.
  Value call(const Use& use) const;
};

/// The same as an object.
KNEE_EXPORT ObjectRef callback_object(NamedFunction function);

template <class R, class... P, class F>
ValueFunction by_values(Signature<R, P...>*, F function) {
  return [function = std::move(function)](const std::vector<Value>& arguments) mutable -> Value {
    if (arguments.size() != sizeof...(P)) throw_wrong_count(sizeof...(P), arguments.size());
    return [&]<std::size_t... i>(std::index_sequence<i...>)->Value {
      if constexpr (std::is_void_v<R>) {
        function(argument_as<std::decay_t<P>>(arguments[i])...);
        return {};
      } else {
        return Value(function(argument_as<std::decay_t<P>>(arguments[i])...));
      }
    }
    (std::index_sequence_for<P...>());
  };
}
/// Any function as one of Values.
template <class F>
ValueFunction by_values(F function) {
  if constexpr (std::is_pointer_v<F>)
    return by_values(static_cast<SignatureOf<F>*>(nullptr), function);
  else
    return by_values(static_cast<SignatureOf<decltype(&F::operator())>*>(nullptr),
                     std::move(function));
}

}  // namespace detail

/// A function as an argument: `map(knee::callback([](int n) { return n + 1; }), ...)`. It is called
/// back here, on the callback thread of its cluster, while whoever calls it waits. What it throws
/// is thrown there. Its parameters are types that a Value can be turned into; arguments that are
/// not are a TypeError there. Python sees a knee.Callback, which can be called and used in no other
/// way.
template <class F>
Object callback(F function) {
  return Object(detail::callback_object({"callback", detail::by_values(std::move(function))}));
}

/// As an argument of tasks and of calls on a Ref, and as what those return.
template <>
struct detail::ContextCodec<Object> {
  static constexpr bool kDefined = true;
  static void write(ByteSink& sink, const knee::Object& object) {
    write_object(sink, object.object());
  }
  static void read(ByteSource& source, knee::Object& object) {
    object = knee::Object(read_object(source));
  }
};

}  // namespace knee
