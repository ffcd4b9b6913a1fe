#pragma once
#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <utility>

#include <knee/object.h>
#include <knee/value.h>

namespace knee {

/// An object of C++ that others use by names, as they use a Python object: an argument for Python
/// code that wants something with methods, or what a method on a slave returns as a knee::Object.
///
///   knee::Object counter = knee::Exposed("a counter")
///                              .method("add", [&](int n) { return count += n; })
///                              .attribute("count", [&] { return count; });
///
/// What the functions take and give are types that a Value can be turned into and made from. They
/// run where the object was made, as callbacks do: in a driver on the callback thread of its
/// cluster. What they throw is thrown there; a name that it does not have is an AttributeError.
/// What they refer to must live as long as others hold the object.
class KNEE_EXPORT Exposed {
 public:
  /// `text`: what `str` gives there.
  explicit Exposed(std::string text) : text_(std::move(text)) {}

  template <class F>
  Exposed& method(std::string name, F function) {
    methods_[std::move(name)] = detail::by_values(std::move(function));
    return *this;
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

  std::string text_;
  std::map<std::string, detail::ValueFunction> methods_;
  std::map<std::string, Attribute> attributes_;
};

}  // namespace knee
