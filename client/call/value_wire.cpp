#include "value_wire.h"

#include <knee/codec.h>
#include <knee/detail/object.h>
#include <knee/error.h>

#include <algorithm>
#include <cstring>

#include "client/call/block.h"

namespace knee::detail {
namespace {

/// Each takes two pointers at most, of which readers follow 64.
constexpr unsigned kDeepest = 24;
constexpr std::uint32_t kNoObject = UINT32_MAX;
constexpr std::uint64_t kWordsOfValue = 4;

std::uint64_t words_of_bytes(std::size_t bytes) {
  return is_inline(bytes) ? bytes / sizeof(capnp::word) + 1 : 1;
}

capnp::Data::Reader data_of(const Content& content) {
  return {reinterpret_cast<const kj::byte*>(content.data), content.size};
}

Content content_of_text(const std::string& text) {
  // A block may be read when the text is gone.
  if (is_inline(text.size()))
    return {nullptr, reinterpret_cast<const std::byte*>(text.data()), text.size()};
  return Value::bytes(std::string_view(text)).content();
}

/// Checked against a message from elsewhere.
template <class Enum>
Enum known(std::uint16_t number, Enum last) {
  if (number > static_cast<std::uint16_t>(last))
    throw DecodeError("a message from a newer version of Knee");
  return static_cast<Enum>(number);
}

std::uint64_t words_of_all(const std::vector<Value>& values) {
  std::uint64_t words = 1;
  for (const auto& value : values) words += words_of(value);
  return words;
}

}  // namespace

std::uint64_t words_of(const Value& value) {
  using Kind = Value::Kind;
  if (const auto* numbers = value.numbers())
    return kWordsOfValue + 6 + numbers->shape.size() + words_of_bytes(numbers->content.size);
  switch (value.kind()) {
    case Kind::text:
      return kWordsOfValue + 3 + words_of_bytes(value.as_text().size());
    case Kind::bytes:
      return kWordsOfValue + 3 + words_of_bytes(value.as_bytes().size());
    case Kind::big_integer:
      return kWordsOfValue + value.as_digits().size() / sizeof(capnp::word) + 1;
    case Kind::list:
    case Kind::tuple:
      return kWordsOfValue + words_of_all(value.values());
    case Kind::dict: {
      std::uint64_t words = kWordsOfValue + 1;
      for (const auto& [key, one] : value.as_dict()) words += 2 + words_of(key) + words_of(one);
      return words;
    }
    default:
      return kWordsOfValue;
  }
}

std::uint64_t words_of(const Use& use) {
  std::uint64_t words = 16 + use.name.size() / sizeof(capnp::word) + words_of_all(use.arguments);
  for (const auto& named : use.named)
    words += 4 + named.name.size() / sizeof(capnp::word) + words_of(named.value);
  if (words > kMostMessage / sizeof(capnp::word))
    throw Error(
        Error::Kind::usage,
        use.label() +
            ": all arguments together may take 16 MiB, not counting arrays, bytes and texts "
            "of more than 256 KiB each; send them in parts");
  return words;
}

// --- writing

void ValueWriter::write(proto::Use::Builder to, const Use& use) {
  using What = Use::What;
  switch (use.what) {
    case What::attribute:
      to.setAttribute(use.name);
      break;
    case What::set_attribute:
      to.setSetAttribute(use.name);
      break;
    case What::item:
      to.setItem();
      break;
    case What::set_item:
      to.setSetItem();
      break;
    case What::call:
      to.setCall(use.name);
      break;
    case What::iterate:
      to.setIterate();
      break;
    case What::next:
      to.setNext(use.at_most);
      break;
    case What::text:
      to.setText();
      break;
    case What::representation:
      to.setRepresentation();
      break;
    case What::length:
      to.setLength();
      break;
    case What::copy:
      to.setCopy();
      break;
  }
  to.setWanted(use.wanted == Use::Wanted::copy ? proto::Use::Wanted::COPY
                                               : proto::Use::Wanted::OBJECT);
  write(to.initArguments(static_cast<unsigned>(use.arguments.size())), use.arguments);
  auto named = to.initNamed(static_cast<unsigned>(use.named.size()));
  for (unsigned i = 0; i < named.size(); ++i) {
    named[i].setName(use.named[i].name);
    write(named[i].initValue(), use.named[i].value);
  }
}

void ValueWriter::write(capnp::List<proto::Value>::Builder to, const std::vector<Value>& values) {
  for (unsigned i = 0; i < to.size(); ++i) write(to[i], values[i]);
}

void ValueWriter::write(proto::Content::Builder to, const Content& content) {
  if (is_inline(content.size)) {
    to.setInline(data_of(content));
    return;
  }
  to.setBlock(static_cast<std::uint32_t>(blocks_.size()));
  blocks_.push_back(content);
}

void ValueWriter::write(proto::Buffer::Builder to, const Value::Buffer& buffer) {
  to.setElement(static_cast<proto::Buffer::Element>(buffer.element));
  auto shape = to.initShape(static_cast<unsigned>(buffer.shape.size()));
  for (unsigned i = 0; i < shape.size(); ++i) shape.set(i, buffer.shape[i]);
  write(to.initContent(), buffer.content);
  to.setList(buffer.list);
}

void ValueWriter::write(proto::Value::Builder to, const Value& value) {
  using Kind = Value::Kind;
  if (++depth_ > kDeepest)
    throw Error(Error::Kind::usage, "a value is nested too deep: lists in lists may go down to " +
                                        std::to_string(kDeepest) + " levels");
  if (const auto* numbers = value.numbers()) write(to.initBuffer(), *numbers);
  switch (value.numbers() != nullptr ? Kind::buffer : value.kind()) {
    case Kind::none:
      to.setNone();
      break;
    case Kind::boolean:
      to.setBool(value.as_boolean());
      break;
    case Kind::integer:
      to.setInt(value.as_integer());
      break;
    case Kind::big_integer:
      to.setBigInt(value.as_digits());
      break;
    case Kind::real:
      to.setFloat(value.as_real());
      break;
    case Kind::text:
      write(to.initText(), content_of_text(value.as_text()));
      break;
    case Kind::bytes:
      write(to.initBytes(), value.content());
      break;
    case Kind::list:
      write(to.initList(static_cast<unsigned>(value.values().size())), value.values());
      break;
    case Kind::tuple:
      write(to.initTuple(static_cast<unsigned>(value.values().size())), value.values());
      break;
    case Kind::dict: {
      const auto& entries = value.as_dict();
      auto list = to.initDict(static_cast<unsigned>(entries.size()));
      for (unsigned i = 0; i < list.size(); ++i) {
        write(list[i].initKey(), entries[i].first);
        write(list[i].initValue(), entries[i].second);
      }
      break;
    }
    case Kind::buffer:
      break;
    case Kind::object: {
      const auto& object = value.object();
      const auto place = object ? static_cast<std::uint32_t>(objects_.size()) : kNoObject;
      if (object && object->only_callable())
        to.setCallback(place);
      else
        to.setObject(place);
      if (object) objects_.push_back(object);
      break;
    }
  }
  --depth_;
}

// --- reading

Use ValueReader::read(proto::Use::Reader from) const {
  using What = Use::What;
  Use use;
  switch (from.which()) {
    case proto::Use::ATTRIBUTE:
      use.what = What::attribute;
      use.name = from.getAttribute().cStr();
      break;
    case proto::Use::SET_ATTRIBUTE:
      use.what = What::set_attribute;
      use.name = from.getSetAttribute().cStr();
      break;
    case proto::Use::ITEM:
      use.what = What::item;
      break;
    case proto::Use::SET_ITEM:
      use.what = What::set_item;
      break;
    case proto::Use::CALL:
      use.what = What::call;
      use.name = from.getCall().cStr();
      break;
    case proto::Use::ITERATE:
      use.what = What::iterate;
      break;
    case proto::Use::NEXT:
      use.what = What::next;
      use.at_most = from.getNext();
      break;
    case proto::Use::TEXT:
      use.what = What::text;
      break;
    case proto::Use::REPRESENTATION:
      use.what = What::representation;
      break;
    case proto::Use::LENGTH:
      use.what = What::length;
      break;
    case proto::Use::COPY:
      use.what = What::copy;
      break;
    default:
      throw DecodeError("an object was used in a way that this version of Knee does not know");
  }
  use.wanted =
      from.getWanted() == proto::Use::Wanted::COPY ? Use::Wanted::copy : Use::Wanted::object;
  use.arguments = read(from.getArguments());
  for (const auto named : from.getNamed())
    use.named.push_back({named.getName().cStr(), read(named.getValue())});
  return use;
}

std::vector<Value> ValueReader::read(capnp::List<proto::Value>::Reader from) const {
  std::vector<Value> values;
  // Nothings take no room in a message.
  values.reserve(std::min<std::size_t>(from.size(), 4096));
  for (const auto value : from) values.push_back(read(value));
  return values;
}

Content ValueReader::read(proto::Content::Reader from) const {
  if (from.isBlock()) {
    if (from.getBlock() >= blocks_.size())
      throw DecodeError("a value refers to bytes that did not come with it");
    return blocks_[from.getBlock()];
  }
  const auto bytes = from.getInline();
  return Value::bytes(std::string_view(reinterpret_cast<const char*>(bytes.begin()), bytes.size()))
      .content();
}

Value ValueReader::read(proto::Buffer::Reader from) const {
  Value::Buffer buffer;
  buffer.element = known(static_cast<std::uint16_t>(from.getElement()), Element::complex128);
  for (const auto length : from.getShape()) buffer.shape.push_back(length);
  buffer.content = read(from.getContent());
  buffer.list = from.getList();
  try {
    return Value::buffer(std::move(buffer));
  } catch (const Error& error) {
    throw DecodeError(error.what());
  }
}

const ObjectRef& ValueReader::object_at(std::uint32_t place) const {
  if (place >= objects_.size())
    throw DecodeError("a value refers to an object that did not come with it");
  return objects_[place];
}

Value ValueReader::read(proto::Value::Reader from) const {
  switch (from.which()) {
    case proto::Value::NONE:
      return {};
    case proto::Value::BOOL:
      return from.getBool();
    case proto::Value::INT:
      return from.getInt();
    case proto::Value::BIG_INT:
      try {
        return Value::big_integer(from.getBigInt().cStr());
      } catch (const Error& error) {
        throw DecodeError(error.what());
      }
    case proto::Value::FLOAT:
      return from.getFloat();
    case proto::Value::TEXT: {
      const auto text = from.getText();
      if (text.isBlock()) return Value(read(text).text());
      const auto bytes = text.getInline();
      return Value(std::string_view(reinterpret_cast<const char*>(bytes.begin()), bytes.size()));
    }
    case proto::Value::BYTES:
      return Value::bytes(read(from.getBytes()));
    case proto::Value::LIST:
      return Value::list(read(from.getList()));
    case proto::Value::TUPLE:
      return Value::tuple(read(from.getTuple()));
    case proto::Value::DICT: {
      Value::Dict entries;
      for (const auto entry : from.getDict())
        entries.emplace_back(read(entry.getKey()), read(entry.getValue()));
      return Value::dict(std::move(entries));
    }
    case proto::Value::BUFFER:
      return read(from.getBuffer());
    case proto::Value::OBJECT:
      if (from.getObject() == kNoObject) return Value(ObjectRef());
      return Value(object_at(from.getObject()));
    case proto::Value::CALLBACK: {
      const auto& object = object_at(from.getCallback());
      if (object) object->set_only_callable();
      return Value(object);
    }
  }
  throw DecodeError("a value of a kind that this version of Knee does not know");
}

}  // namespace knee::detail
