#include <knee/error.h>
#include <knee/exposed.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "client/call/chunks.h"
#include "client/call/exception_text.h"

namespace knee {

namespace detail {

namespace {

/// One iteration over an exposed object.
class ItemsObject final : public LocalObject {
 public:
  ItemsObject(const std::string& of, std::shared_ptr<const Object> owner, NextItem next)
      : text_("items of " + of), owner_(std::move(owner)), next_(std::move(next)) {}
  UseResult use_here(Use& use) override {
    if (use.what == Use::What::next)
      return {chunks_.next(use.at_most, [this] { return next_item(); })};
    if (use.what == Use::What::text || use.what == Use::What::representation)
      return {Value('<' + text_ + '>')};
    throw Error(Error::Kind::usage, text_ + ": " + use.label() + ": they can only be gone through");
  }

 private:
  std::optional<Value> next_item() {
    if (!next_) return std::nullopt;
    auto item = next_();
    if (!item) next_ = nullptr;  // it is not asked again
    return item;
  }

  std::string text_;
  std::shared_ptr<const Object> owner_;  ///< of what `next_` may refer to: it outlives that
  NextItem next_;
  Chunks chunks_;
};

}  // namespace

class ExposedObject final : public LocalObject, public std::enable_shared_from_this<ExposedObject> {
 public:
  explicit ExposedObject(Exposed names) : names_(std::move(names)) {}
  UseResult use_here(Use& use) override;

 private:
  UseResult carry_out(const Use& use);
  Value attribute(const std::string& name) const;
  void set_attribute(const std::string& name, const std::vector<Value>& value) const;
  Value call(const std::string& name, const Use& use) const;
  /// Calls what Python has for a use of that kind; without that, it `cannot` be used so.
  Value call_special(const std::string& name, const std::string& cannot, const Use& use) const;
  /// It has no such name.
  [[noreturn]] void fail(const std::string& why) const;
  /// It cannot be used so.
  [[noreturn]] void refuse(const std::string& why) const;

  Exposed names_;
};

UseResult ExposedObject::use_here(Use& use) {
  try {
    return carry_out(use);
  } catch (const ArgumentError& error) {
    refuse(use.label() + ' ' + error.what());
  }
}

UseResult ExposedObject::carry_out(const Use& use) {
  using What = Use::What;
  switch (use.what) {
    case What::attribute:
      return {attribute(use.name)};
    case What::set_attribute:
      set_attribute(use.name, use.arguments);
      return {};
    case What::call:
      if (use.name.empty()) return {call_special("__call__", "it cannot be called", use)};
      return {call(use.name, use)};
    case What::item:
      return {call_special("__getitem__", "it has no items", use)};
    case What::set_item:
      return {call_special("__setitem__", "its items cannot be set", use)};
    case What::length:
      // Python asks for a length where it can do without.
      return {call_special("__len__", "it has no length", use)};
    case What::text:
    case What::representation:
      return {Value('<' + names_.text_ + '>')};
    case What::copy:
      if (!names_.copy_) refuse("it cannot be copied: it was exposed without `copy`");
      return {names_.copy_({})};
    case What::iterate:
      if (!names_.items_) refuse("it cannot be gone through: it was exposed without `items`");
      return {Value(ObjectRef(
          std::make_shared<ItemsObject>(names_.text_, shared_from_this(), names_.items_())))};
    case What::next:
      break;
  }
  refuse("it is no iterator");
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
  return found->second.call(use);
}

Value ExposedObject::call_special(const std::string& name, const std::string& cannot,
                                  const Use& use) const {
  if (!names_.methods_.contains(name)) refuse(cannot + ": no method '" + name + "'");
  return call(name, use);
}

void ExposedObject::fail(const std::string& why) const {
  throw ForeignException({"AttributeError", names_.text_ + ": " + why});
}

void ExposedObject::refuse(const std::string& why) const {
  throw ForeignException({"TypeError", names_.text_ + ": " + why});
}

}  // namespace detail

Exposed::operator Object() const {
  return Object(std::make_shared<detail::ExposedObject>(*this));
}

Exposed& Exposed::add(detail::NamedFunction method) {
  auto name = std::exchange(method.name, text_ + ": " + method.name);
  methods_[std::move(name)] = std::move(method);
  return *this;
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
