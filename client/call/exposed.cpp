#include <knee/error.h>
#include <knee/exposed.h>

#include <stdexcept>

#include "client/call/exception_text.h"

namespace knee {

namespace detail {

class ExposedObject final : public LocalObject {
 public:
  explicit ExposedObject(Exposed names) : names_(std::move(names)) {}
  UseResult use_here(Use& use) override;

 private:
  Value attribute(const std::string& name) const;
  void set_attribute(const std::string& name, const std::vector<Value>& value) const;
  Value call(const std::string& name, const Use& use) const;
  [[noreturn]] void fail(const std::string& why) const;

  Exposed names_;
};

UseResult ExposedObject::use_here(Use& use) {
  using What = Use::What;
  switch (use.what) {
    case What::attribute:
      return {attribute(use.name)};
    case What::set_attribute:
      set_attribute(use.name, use.arguments);
      return {};
    case What::call:
      return {call(use.name.empty() ? "__call__" : use.name, use)};
    case What::item:
      return {call("__getitem__", use)};
    case What::set_item:
      return {call("__setitem__", use)};
    case What::length:
      return {call("__len__", use)};
    case What::text:
    case What::representation:
      return {Value('<' + names_.text_ + '>')};
    case What::copy:
    case What::iterate:
    case What::next:
      break;
  }
  throw Error(Error::Kind::usage,
              names_.text_ + ": " + use.label() + " of an object of C++ is not possible");
}

Value ExposedObject::attribute(const std::string& name) const {
  if (const auto found = names_.attributes_.find(name); found != names_.attributes_.end())
    return found->second.get({});
  if (const auto found = names_.methods_.find(name); found != names_.methods_.end())
    return Value(callback_object(found->second));
  fail("it has no attribute '" + name + "'");
}

void ExposedObject::set_attribute(const std::string& name, const std::vector<Value>& value) const {
  const auto found = names_.attributes_.find(name);
  if (found == names_.attributes_.end()) fail("it has no attribute '" + name + "' to be set");
  if (!found->second.set) fail("its attribute '" + name + "' cannot be set");
  found->second.set(value);
}

Value ExposedObject::call(const std::string& name, const Use& use) const {
  const auto found = names_.methods_.find(name);
  if (found == names_.methods_.end()) fail("it has no method '" + name + "'");
  if (!use.named.empty())
    throw Error(Error::Kind::usage, names_.text_ + ": " + name +
                                        " takes no arguments by name, such as " +
                                        use.named.front().name);
  return found->second(use.arguments);
}

void ExposedObject::fail(const std::string& why) const {
  throw ForeignException({"AttributeError", names_.text_ + ": " + why});
}

}  // namespace detail

Exposed::operator Object() const {
  return Object(std::make_shared<detail::ExposedObject>(*this));
}

Exposed Exposed::stream(std::ostream& out) {
  return Exposed("a stream")
      .method("write",
              [&out](const std::string& text) {
                if (!out.write(text.data(), static_cast<std::streamsize>(text.size())))
                  throw std::runtime_error("a stream could not be written to");
                return text.size();
              })
      .method("flush", [&out] { out.flush(); });
}

}  // namespace knee
