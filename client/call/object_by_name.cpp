#include <knee/error.h>
#include <knee/object.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <optional>

#include "client/call/exception_text.h"
#include "client/call/task_access.h"

namespace knee {

using detail::Access;
using detail::Use;
using detail::UseResult;

namespace detail {

/// The use that gave an Object, shared by its copies. What fails is told by whoever looks at it; if
/// nobody does, on stderr.
class PendingUse {
 public:
  explicit PendingUse(TaskRef task) : task_(std::move(task)) {}
  ~PendingUse() {
    if (!looked_at_) task_->abandon();
  }
  PendingUse(const PendingUse&) = delete;

  /// Its failure will be told otherwise: by what is called on its result.
  void look_at() { looked_at_ = true; }
  const UseResult& wait() {
    looked_at_ = true;
    task_->wait();
    if (task_->error()) std::rethrow_exception(task_->error());
    return *Access::answer(*task_);
  }

 private:
  TaskRef task_;
  std::atomic<bool> looked_at_ = false;
};

template <>
Value result_of<Value>(TaskState& state) {
  return std::move(Access::answer(state)->value);  // a Promise has one consumer
}

/// What is iterated over, on its way.
class ValueStream {
 public:
  explicit ValueStream(knee::Object iterator) : iterator_(std::move(iterator)), asked_(ask()) {
    try {
      advance();
    } catch (const Error&) {
      iterator_.wait();  // what is asked of one that could not be had knows less of that
      throw;
    }
  }

  ~ValueStream() {
    if (asked_ && !waited_) asked_->abandon();
  }
  ValueStream(const ValueStream&) = delete;

  const Value& value() const { return chunk_[place_]; }
  bool ended() const { return place_ == chunk_.size(); }
  /// If the waiting fails, as by an interrupt, nothing is lost: it can be called again.
  void advance() {
    if (place_ < chunk_.size()) ++place_;
    while (place_ == chunk_.size() && asked_) take();
  }

 private:
  /// Few at first: for those who look at the beginning only, and since what is there already does
  /// not come before what follows it in its chunk.
  static constexpr std::uint32_t kFirst = 1;
  static constexpr std::uint32_t kMost = 8192;
  static constexpr std::uint32_t kGrowth = 4;

  TaskRef ask() {
    auto task =
        iterator_.send({.what = Use::What::next, .at_most = at_most_, .wanted = Use::Wanted::copy});
    at_most_ = std::min(kGrowth * at_most_, kMost);
    return task;
  }
  void take() {
    waited_ = true;
    asked_->wait();
    if (asked_->error()) {
      const TaskRef failed = std::move(asked_);
      std::rethrow_exception(failed->error());
    }
    const auto parts = Access::answer(*asked_)->value.as_list();
    auto next = parts.at(1).as_boolean() ? TaskRef() : ask();
    chunk_ = list_from(parts.at(0));
    place_ = 0;
    asked_ = std::move(next);
    waited_ = false;
  }

  knee::Object iterator_;
  std::uint32_t at_most_ = kFirst;
  TaskRef asked_;        ///< for what follows the chunk; null: nothing does
  bool waited_ = false;  ///< for that, in vain so far
  Value::List chunk_;
  std::size_t place_ = 0;
};

namespace {

class CallbackObject final : public LocalObject {
 public:
  explicit CallbackObject(NamedFunction function) : function_(std::move(function)) {
    set_only_callable();
  }
  UseResult use_here(Use& use) override {
    if (use.what == Use::What::text || use.what == Use::What::representation)
      return {Value("<a function of C++>")};
    if (use.what != Use::What::call || !(use.name.empty() || use.name == "__call__"))
      throw Error(Error::Kind::usage, use.label() + ": a callback can only be called");
    return {function_.call(use)};
  }

 private:
  NamedFunction function_;
};

/// All arguments by their places.
std::vector<Value> in_order(const std::vector<std::string>& parameters, const Use& use) {
  const auto refuse = [](const std::string& why) { throw ArgumentError(why); };
  const auto given = use.arguments.size();
  if (given > parameters.size()) throw_wrong_count(parameters.size(), given);
  std::vector<std::optional<Value>> places(use.arguments.begin(), use.arguments.end());
  places.resize(parameters.size());
  for (const auto& [name, value] : use.named) {
    const auto place = std::find(parameters.begin(), parameters.end(), name) - parameters.begin();
    if (place == std::ssize(parameters)) refuse("has no parameter '" + name + "'");
    auto& argument = places[static_cast<std::size_t>(place)];
    if (argument) refuse("was given two arguments for its parameter '" + name + "'");
    argument = value;
  }
  std::vector<Value> arguments;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (!places[i]) refuse("misses an argument for its parameter '" + parameters[i] + "'");
    arguments.push_back(std::move(*places[i]));
  }
  return arguments;
}

}  // namespace

Value NamedFunction::call(const Use& use) const {
  try {
    if (!parameters.empty()) return function(in_order(parameters, use));
    if (!use.named.empty())
      throw ArgumentError("takes no arguments by name, such as '" + use.named.front().name + "'");
    return function(use.arguments);
  } catch (const ArgumentError& error) {
    throw ForeignException({"TypeError", name + "() " + error.what()});
  }
}

void throw_wrong_count(std::size_t wanted, std::size_t given) {
  throw ArgumentError("takes " + std::to_string(wanted) + " arguments, and was called with " +
                      std::to_string(given));
}

ObjectRef callback_object(NamedFunction function) {
  return std::make_shared<CallbackObject>(std::move(function));
}

}  // namespace detail

const detail::ObjectRef& Object::target() const {
  if (!object_) throw Error(Error::Kind::usage, "a use of a knee::Object that refers to nothing");
  return object();
}

const detail::ObjectRef& Object::object() const {
  if (made_) made_->look_at();
  return object_;
}

Object Object::use(Use use) const {
  detail::ObjectRef returned;
  auto task = target()->use(std::move(use), &returned);
  return Object(std::move(returned), std::make_shared<detail::PendingUse>(std::move(task)));
}

Promise<Value> Object::async_use(Use use) const {
  use.wanted = Use::Wanted::copy;
  return Promise<Value>(send(std::move(use)));
}

detail::TaskRef Object::send(Use use) const {
  return target()->use(std::move(use), nullptr);
}

Object Object::attr(std::string name) const {
  return use({.what = Use::What::attribute, .name = std::move(name)});
}

void Object::set(std::string name, Value value) const {
  async_use(
      {.what = Use::What::set_attribute, .name = std::move(name), .arguments = {std::move(value)}})
      .get();
}

Object Object::item(Value key) const {
  return use({.what = Use::What::item, .arguments = {std::move(key)}});
}

void Object::set_item(Value key, Value value) const {
  async_use({.what = Use::What::set_item, .arguments = {std::move(key), std::move(value)}}).get();
}

Value Object::value() const {
  if (made_) {
    const auto& result = made_->wait();
    if (result.has_value && result.value.kind() != Value::Kind::object) return result.value;
  }
  return async_get().get();
}

Promise<Value> Object::async_get() const {
  return async_use({.what = Use::What::copy});
}

std::string Object::str() const {
  return async_use({.what = Use::What::text}).get().as_text();
}

std::string Object::repr() const {
  return async_use({.what = Use::What::representation}).get().as_text();
}

std::size_t Object::len() const {
  return async_use({.what = Use::What::length}).get().get<std::size_t>();
}

void Object::wait() const {
  target();
  if (made_) made_->wait();
}

Value Object::as_value() const {
  return Value(target());
}

Object Object::from_value(const Value& value) {
  return Object(value.object());
}

Object::Iterator Object::begin() const {
  return Iterator(std::make_shared<detail::ValueStream>(use({.what = Use::What::iterate})));
}

Object::Iterator::Iterator(std::shared_ptr<detail::ValueStream> stream)
    : stream_(std::move(stream)) {}

const Value& Object::Iterator::operator*() const {
  return stream_->value();
}

Object::Iterator& Object::Iterator::operator++() {
  stream_->advance();
  return *this;
}

bool Object::Iterator::operator==(std::default_sentinel_t) const {
  return stream_->ended();
}

}  // namespace knee
