#include <capnp/dynamic.h>
#include <capnp/message.h>
#include <capnp/schema.h>
#include <capnp/serialize.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "proto/object.capnp.h"
#include "proto/slave.capnp.h"
#include "proto/task.capnp.h"
#include "proto/worker.capnp.h"

/// The bytes of every struct as the first version wrote them, checked in as golden/NAME.txt: one
/// line "bytes HEX", then a line "path = value" for each thing that was said. Today's schema must
/// read those bytes as saying the same, and write them back equal. What was added since does not
/// matter.
///
/// KNEE_WRITE_GOLDEN=1 writes the files that are not there: for structs that are new. Those that
/// are there are never to be written again.
namespace {

namespace fs = std::filesystem;
using capnp::DynamicList;
using capnp::DynamicStruct;
using capnp::DynamicValue;

/// All values differ, so that a field read in another's place shows.
class Filler {
 public:
  /// `choice`: which member of its union, counted over and over; nested unions take the first that
  /// is not the struct itself.
  void fill(DynamicStruct::Builder builder, unsigned choice, unsigned depth = 0) {
    if (depth > 4) return;
    for (const auto field : builder.getSchema().getNonUnionFields()) set(builder, field, depth);
    const auto members = builder.getSchema().getUnionFields();
    if (members.size() != 0) set(builder, members[choice % members.size()], depth);
  }

 private:
  void set(DynamicStruct::Builder builder, capnp::StructSchema::Field field, unsigned depth) {
    if (field.getProto().isGroup()) {
      fill(builder.init(field).as<DynamicStruct>(), 0, depth);
      return;
    }
    const auto type = field.getType();
    switch (type.which()) {
      case capnp::schema::Type::STRUCT:
        fill(builder.init(field).as<DynamicStruct>(), 0, depth + 1);
        break;
      case capnp::schema::Type::LIST: {
        if (type.asList().getElementType().isInterface()) break;
        auto list = builder.init(field, 2).as<DynamicList>();
        const auto element = type.asList().getElementType();
        for (unsigned i = 0; i < 2; ++i) {
          if (element.isStruct())
            fill(list[i].as<DynamicStruct>(), i, depth + 1);
          else
            with(element, [&](const DynamicValue::Reader& value) { list.set(i, value); });
        }
        break;
      }
      case capnp::schema::Type::INTERFACE:
        break;
      default:
        with(type, [&](const DynamicValue::Reader& value) { builder.set(field, value); });
    }
  }

  /// `put` with the next value.
  template <class Put>
  void with(capnp::Type type, Put put) {
    const auto n = ++count_;
    switch (type.which()) {
      case capnp::schema::Type::VOID:
        return put(capnp::VOID);
      case capnp::schema::Type::BOOL:
        return put(true);
      case capnp::schema::Type::FLOAT32:
      case capnp::schema::Type::FLOAT64:
        return put(0.25 + n);
      case capnp::schema::Type::UINT64:
      case capnp::schema::Type::INT64:
        return put(std::uint64_t{0x0102030400000000} + n);
      case capnp::schema::Type::UINT32:
      case capnp::schema::Type::INT32:
        return put(std::uint32_t{0x01020000} + n);
      case capnp::schema::Type::TEXT: {
        const auto text = "text " + std::to_string(n);
        return put(capnp::Text::Reader(text.c_str()));
      }
      case capnp::schema::Type::DATA: {
        const kj::byte bytes[] = {0, 0xff, static_cast<kj::byte>(n)};
        return put(capnp::Data::Reader(bytes, sizeof bytes));
      }
      case capnp::schema::Type::ENUM: {
        const auto enumerants = type.asEnum().getEnumerants();
        return put(capnp::DynamicEnum(enumerants[n % enumerants.size()]));
      }
      default:
        return put(n % 128);
    }
  }

  unsigned count_ = 0;
};

/// Everything a struct says, a line each.
void describe(const std::string& path, const DynamicValue::Reader& value,
              std::set<std::string>& lines) {
  switch (value.getType()) {
    case DynamicValue::STRUCT: {
      const auto message = value.as<DynamicStruct>();
      const auto say = [&](capnp::StructSchema::Field field) {
        if (!field.getType().isInterface())
          describe(path + "." + field.getProto().getName().cStr(), message.get(field), lines);
      };
      for (const auto field : message.getSchema().getNonUnionFields()) say(field);
      KJ_IF_MAYBE (field, message.which()) {
        lines.insert(path + " is " + field->getProto().getName().cStr());
        say(*field);
      }
      break;
    }
    case DynamicValue::LIST: {
      const auto list = value.as<DynamicList>();
      lines.insert(path + " has " + std::to_string(list.size()));
      for (unsigned i = 0; i < list.size(); ++i)
        describe(path + "[" + std::to_string(i) + "]", list[i], lines);
      break;
    }
    default:
      lines.insert(path + " = " + kj::str(value).cStr());
  }
}

std::set<std::string> described(const std::string& name, DynamicStruct::Reader message) {
  std::set<std::string> lines;
  describe(name.substr(0, name.find('-')), message, lines);
  return lines;
}

std::string hex(kj::ArrayPtr<const capnp::word> words) {
  static const char* const digits = "0123456789abcdef";
  std::string text;
  for (const auto byte : words.asBytes()) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

kj::Array<capnp::word> words(const std::string& hex) {
  auto array = kj::heapArray<capnp::word>(hex.size() / 16);
  for (std::size_t i = 0; i < array.asBytes().size(); ++i)
    array.asBytes()[i] = static_cast<kj::byte>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  return array;
}

struct Golden {
  std::string bytes;
  std::vector<std::string> lines;
};

Golden read_golden(const fs::path& path) {
  std::ifstream file(path);
  REQUIRE(file);
  Golden golden;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("bytes "))
      golden.bytes = line.substr(6);
    else
      golden.lines.push_back(line);
  }
  return golden;
}

using Case = std::pair<std::string, capnp::StructSchema>;

/// Every struct of the schemas: those given and those nested in them.
std::vector<capnp::StructSchema> structs() {
  using namespace knee::proto;
  using capnp::Schema;
  return {
      Schema::from<Hello>(),         Schema::from<Description>(),   Schema::from<SessionRequest>(),
      Schema::from<Variant>(),       Schema::from<ProgramFile>(),   Schema::from<Limits>(),
      Schema::from<Work>(),          Schema::from<Update>(),        Schema::from<Task>(),
      Schema::from<Payload>(),       Schema::from<Command>(),       Schema::from<InputFile>(),
      Schema::from<OutputFile>(),    Schema::from<Outcome>(),       Schema::from<Failure>(),
      Schema::from<Death>(),         Schema::from<CommandResult>(), Schema::from<Started>(),
      Schema::from<OutputText>(),    Schema::from<Setup>(),         Schema::from<ToWorker>(),
      Schema::from<FunctionTable>(), Schema::from<Function>(),      Schema::from<SharedValue>(),
      Schema::from<FromWorker>(),    Schema::from<Call>(),          Schema::from<CallResult>(),
      Schema::from<Use>(),           Schema::from<UseResult>(),     Schema::from<Value>(),
      Schema::from<NamedValue>(),    Schema::from<Entry>(),         Schema::from<Buffer>(),
      Schema::from<Content>(),       Schema::from<Large>()};
}

/// A struct with a union has a case for each member.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const auto schema : structs()) {
    const std::string name = schema.getShortDisplayName().cStr();
    const auto members = schema.getUnionFields();
    if (members.size() == 0) all.emplace_back(name, schema);
    for (const auto member : members)
      all.emplace_back(name + "-" + member.getProto().getName().cStr(), schema);
  }
  return all;
}

unsigned choice_of(const Case& one) {
  const auto members = one.second.getUnionFields();
  for (unsigned i = 0; i < members.size(); ++i)
    if (one.first.ends_with(std::string("-") + members[i].getProto().getName().cStr())) return i;
  return 0;
}

fs::path golden_file(const std::string& name) {
  return fs::path(KNEE_GOLDEN) / (name + ".txt");
}

kj::Array<capnp::word> canonical(DynamicStruct::Reader message) {
  capnp::MallocMessageBuilder builder;
  builder.setRoot(message);
  return builder.getRoot<capnp::AnyStruct>().asReader().canonicalize();
}

void write_golden(const Case& one) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<DynamicStruct>(one.second);
  Filler().fill(root, choice_of(one));
  std::ofstream file(golden_file(one.first));
  file << "bytes " << hex(canonical(root.asReader())) << '\n';
  for (const auto& line : described(one.first, root.asReader())) file << line << '\n';
}

}  // namespace

TEST_CASE("every struct and every member of a union has its golden bytes") {
  for (const auto& one : cases()) {
    if (std::getenv("KNEE_WRITE_GOLDEN") != nullptr && !fs::exists(golden_file(one.first)))
      write_golden(one);
    INFO(one.first);
    CHECK(fs::exists(golden_file(one.first)));
  }
}

TEST_CASE("the bytes of the first version say today what they said then") {
  for (const auto& one : cases()) {
    const auto golden = read_golden(golden_file(one.first));
    const auto bytes = words(golden.bytes);
    const kj::ArrayPtr<const capnp::word> segment = bytes;
    capnp::SegmentArrayMessageReader message(kj::arrayPtr(&segment, 1));
    const auto said = described(one.first, message.getRoot<DynamicStruct>(one.second));
    REQUIRE(golden.lines.size() >= 1);
    for (const auto& line : golden.lines) {
      INFO(one.first << " said: " << line);
      CHECK(said.contains(line));
    }
  }
}

TEST_CASE("what today's code writes of it are the bytes of the first version") {
  for (const auto& one : cases()) {
    const auto golden = read_golden(golden_file(one.first));
    const auto bytes = words(golden.bytes);
    const kj::ArrayPtr<const capnp::word> segment = bytes;
    capnp::SegmentArrayMessageReader message(kj::arrayPtr(&segment, 1));
    CHECK(message.isCanonical());
    INFO(one.first);
    CHECK(hex(canonical(message.getRoot<DynamicStruct>(one.second))) == golden.bytes);
  }
}

TEST_CASE("no struct of the schemas is left out") {
  std::set<std::string> known;
  for (const auto schema : structs()) known.insert(schema.getShortDisplayName().cStr());
  for (const auto& entry : fs::directory_iterator(KNEE_SCHEMAS)) {
    if (entry.path().extension() != ".capnp") continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      std::istringstream text(line);
      std::string word;
      std::string name;
      if (text >> word >> name && word == "struct") {
        INFO(name);
        CHECK(known.contains(name));
      }
    }
  }
}
