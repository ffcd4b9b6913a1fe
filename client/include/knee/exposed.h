#pragma once
#include <cstddef>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <ostream>
#include <string>
#include <utility>

#include <knee/object.h>
#include <knee/value.h>

namespace knee {

namespace detail {

template <class F>
inline constexpr std::size_t kParameterCount =
    []<class... P>(Fields<P...>*) { return sizeof...(P); }(static_cast<ParametersOf<F>*>(nullptr));

/// Gives what comes next; none: that was all.
using NextItem = std::function<std::optional<Value>()>;

template <class F>
concept IsGenerator = requires(F& function) {
  static_cast<bool>(function());
  *function();
};

/// What gives a sequence or a generator, as one that gives a generator of Values.
template <class F>
std::function<NextItem()> items_by_values(F function) {
  return [function = std::move(function)]() mutable -> NextItem {
    auto given = function();
    if constexpr (IsGenerator<decltype(given)>) {
      return [next = std::move(given)]() mutable -> std::optional<Value> {
        auto item = next();
        if (!item) return std::nullopt;
        return Value(*std::move(item));
      };
    } else {
      return [items = Value(std::move(given)).as_list(),
              place = std::size_t{0}]() mutable -> std::optional<Value> {
        if (place == items.size()) return std::nullopt;
        return std::move(items[place++]);
      };
    }
  };
}

}  // namespace detail

/// An object of C++ that others use by names, as they use a Python object: an argument for Python
/// code that wants something with methods, or what a method on a slave returns as a knee::Object.
///
///   knee::Object counter = knee::Exposed("a counter")
///                              .method("add", [&](int n) { return count += n; }, {"n"})
///                              .attribute("count", [&] { return count; });
///
/// What the functions take and give are types that a Value can be turned into and made from. They
/// run where the object was made, as callbacks do: in a driver on the callback thread of its
/// cluster; but what uses it in its own process runs them at once, on the thread that does so. What
/// they throw is thrown there; a name that it does not have, or cannot set, is an AttributeError, a
/// use for which it has no function, and arguments that a function does not take, a TypeError. What
/// they refer to must live as long as others hold the object or go through its items.
class KNEE_EXPORT Exposed {
 public:
  /// `str` gives `<text>` there.
  explicit Exposed(std::string text) : text_(std::move(text)) {}

  template <class F>
  Exposed& method(std::string name, F function) {
    return add({std::move(name), detail::by_values(std::move(function))});
  }
  /// One whose parameters have names, by which it may be given arguments as well:
  /// `.method("scaled", scale, {"by", "from"})`.
  template <class F, std::size_t count>
  Exposed& method(std::string name, F function, const char* const (&parameters)[count]) {
    static_assert(count == detail::kParameterCount<F>,
                  "knee: a method needs as many names as it has parameters");
    return add({std::move(name),
                detail::by_values(std::move(function)),
                {std::begin(parameters), std::end(parameters)}});
  }
  template <class Get>
  Exposed& attribute(std::string name, Get get) {
    attributes_[std::move(name)].get = detail::by_values(std::move(get));
    return *this;
  }
  /// One that may also be set.
  template <class Get, class Set>
  Exposed& attribute(std::string name, Get get, Set set) {
    attributes_[std::move(name)] = {detail::by_values(std::move(get)),
                                    detail::by_values(std::move(set))};
    return *this;
  }

  /// What `for` goes through there. `function` is called at its beginning, and gives a sequence; or
  /// a function that is called for each item, and gives it as a std::optional, at the end an empty
  /// one. That function must be copyable, is called ahead of what is used, and may refer to what
  /// `function` holds.
  template <class F>
  Exposed& items(F function) {
    items_ = detail::items_by_values(std::move(function));
    return *this;
  }
  /// What Object::get copies.
  template <class F>
  Exposed& copy(F function) {
    copy_ = detail::by_values(std::move(function));
    return *this;
  }

  /// With `write` and `flush`, as Python's files have them: `print(..., file=out)` writes here.
  static Exposed stream(std::ostream& out);

  /// Another object each time, with the names that there are now.
  operator Object() const;
  Value as_value() const { return Object(*this).as_value(); }

 private:
  friend class detail::ExposedObject;
  struct Attribute {
    detail::ValueFunction get;
    detail::ValueFunction set;  ///< empty: it cannot be set
  };

  Exposed& add(detail::NamedFunction method);

  std::string text_;
  std::map<std::string, detail::NamedFunction> methods_;
  std::map<std::string, Attribute> attributes_;
  std::function<detail::NextItem()> items_;  ///< empty: it has none
  detail::ValueFunction copy_;               ///< empty: it cannot be copied
};

}  // namespace knee
