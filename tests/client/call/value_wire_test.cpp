#include "client/call/value_wire.h"

#include <capnp/message.h>
#include <knee/codec.h>
#include <knee/error.h>
#include <knee/exposed.h>
#include <knee/object.h>

#include <catch2/catch.hpp>
#include <string>
#include <vector>

using Catch::Contains;
using knee::Value;
using knee::detail::DecodeError;
using knee::detail::Use;
using knee::detail::ValueReader;
using knee::detail::ValueWriter;
namespace proto = knee::proto;

namespace {

Value there_and_back(const Value& value) {
  capnp::MallocMessageBuilder message;
  ValueWriter writer;
  writer.write(message.initRoot<proto::Value>(), value);
  CHECK(message.sizeInWords() <= knee::detail::words_of(value) + 1);
  return ValueReader(writer.objects(), writer.blocks())
      .read(message.getRoot<proto::Value>().asReader());
}

Value nested(unsigned levels) {
  Value value(1);
  for (unsigned i = 0; i < levels; ++i) value = Value::list({value});
  return value;
}

}  // namespace

TEST_CASE("every kind of value is written and read") {
  const auto callback = knee::callback([] {});
  const std::vector<Value> all{Value(),
                               true,
                               -5,
                               Value::big_integer("-123456789012345678901234567890"),
                               0.1,
                               "text with ü",
                               std::string("\0\n", 2),
                               Value::bytes(std::string_view("\xff\0", 2)),
                               Value::list({1, "two", Value()}),
                               Value::list({}),
                               Value::tuple({}),
                               Value::tuple({1, Value::tuple({2})}),
                               Value::dict({{1, "one"}, {"two", Value::list({2})}}),
                               std::vector<float>{1.5F},
                               std::vector<int>{},
                               Value::list_of(std::vector<double>{1, 2}),
                               callback};
  for (const auto& value : all) {
    INFO(value.kind_name());
    CHECK(there_and_back(value) == value);
  }
  CHECK(there_and_back(Value::list(all)) == Value::list(all));
}

TEST_CASE("what is large travels beside the message, without a copy") {
  const Value numbers(std::vector<double>(100'000, 0.5));
  capnp::MallocMessageBuilder message;
  ValueWriter writer;
  writer.write(message.initRoot<proto::Value>(), numbers);
  REQUIRE(writer.blocks().size() == 1);
  CHECK(writer.blocks()[0].data == numbers.as_buffer().content.data);
  CHECK(message.sizeInWords() < 50);
  CHECK(there_and_back(numbers) == numbers);
  const Value text(std::string(1 << 20, 'x'));
  CHECK(there_and_back(text) == text);
  CHECK(there_and_back(Value::bytes(std::string(1 << 20, 'y'))).as_bytes().size() == 1 << 20);
}

TEST_CASE("of an object that can only be called the reader learns so much") {
  const Value callback(knee::callback([] {}));
  const knee::Object anything = knee::Exposed("anything");
  capnp::MallocMessageBuilder message;
  auto value = message.initRoot<proto::Value>();
  ValueWriter().write(value, callback);
  CHECK(value.isCallback());
  ValueWriter().write(value, Value(anything));
  CHECK(value.isObject());
  // Where it is read it is some reference.
  const std::vector<knee::detail::ObjectRef> objects{anything.object()};
  const std::vector<knee::detail::Content> no_blocks;
  const ValueReader reader(objects, no_blocks);
  CHECK_FALSE(reader.read(value.asReader()).object()->only_callable());
  value.setCallback(0);
  CHECK(reader.read(value.asReader()).object() == anything.object());
  CHECK(anything.object()->only_callable());
}

TEST_CASE("what is nested too deep is refused before it is sent") {
  CHECK(there_and_back(nested(20)) == nested(20));
  capnp::MallocMessageBuilder message;
  CHECK_THROWS_AS(ValueWriter().write(message.initRoot<proto::Value>(), nested(30)), knee::Error);
}

TEST_CASE("a use is written and read") {
  const Use use{.what = Use::What::call,
                .name = "print",
                .arguments = {1, "two"},
                .named = {{"end", Value("")}},
                .wanted = Use::Wanted::copy};
  capnp::MallocMessageBuilder message;
  ValueWriter writer;
  writer.write(message.initRoot<proto::Use>(), use);
  const auto read =
      ValueReader(writer.objects(), writer.blocks()).read(message.getRoot<proto::Use>().asReader());
  CHECK(read.what == use.what);
  CHECK(read.name == "print");
  CHECK(read.arguments == use.arguments);
  REQUIRE(read.named.size() == 1);
  CHECK(read.named[0].name == "end");
  CHECK(read.wanted == Use::Wanted::copy);
}

TEST_CASE("arguments that are too much for a message are refused, with what to do") {
  const Value some(std::string(200'000, 'x'));
  Use use{.arguments = std::vector<Value>(100, some)};
  try {
    (void)knee::detail::words_of(use);
    FAIL("no exception");
  } catch (const knee::Error& error) {
    CHECK_THAT(error.what(), Contains("16 MiB"));
  }
}

TEST_CASE("values from elsewhere that refer to nothing, or lie about their size, are refused") {
  const std::vector<knee::detail::ObjectRef> no_objects;
  const std::vector<knee::detail::Content> no_blocks;
  const ValueReader reader(no_objects, no_blocks);
  capnp::MallocMessageBuilder message;
  auto value = message.initRoot<proto::Value>();
  value.setObject(0);
  CHECK_THROWS_AS(reader.read(value.asReader()), DecodeError);
  value.setCallback(UINT32_MAX);
  CHECK_THROWS_AS(reader.read(value.asReader()), DecodeError);
  value.initBytes().setBlock(3);
  CHECK_THROWS_AS(reader.read(value.asReader()), DecodeError);
  value.setBigInt("12a");
  CHECK_THROWS_AS(reader.read(value.asReader()), DecodeError);
  auto buffer = value.initBuffer();
  buffer.initShape(1).set(0, 1'000'000'000'000);
  CHECK_THROWS_AS(reader.read(value.asReader()), DecodeError);
  buffer.setElement(static_cast<proto::Buffer::Element>(200));
  CHECK_THROWS_AS(reader.read(value.asReader()), DecodeError);
  // Nested so deep that Cap'n Proto itself stops.
  CHECK_THROWS(there_and_back(nested(200)));
}
