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
/// matter there: it is in NAME.2.txt and so on, of structs that have grown.
///
/// golden/interfaces.txt has the number of each interface, of its methods, and of what they take
/// and give.
///
/// KNEE_WRITE_GOLDEN=1 writes the files and lines that are not there: for what is new. Those that
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

/// Every interface of the schemas.
std::vector<capnp::InterfaceSchema> interfaces() {
  using namespace knee::proto;
  using capnp::Schema;
  return {Schema::from<Door>(),       Schema::from<Meeting>(),     Schema::from<Membership>(),
          Schema::from<Slave>(),      Schema::from<Reservation>(), Schema::from<Store>(),
          Schema::from<ByteSink>(),   Schema::from<Session>(),     Schema::from<Home>(),
          Schema::from<Object>(),     Schema::from<Block>(),       Schema::from<ObjectHost>(),
          Schema::from<TaskObjects>()};
}

/// By what number everything that an interface says travels, a line each.
std::set<std::string> numbers_of(capnp::InterfaceSchema interface) {
  const std::string name = interface.getShortDisplayName().cStr();
  std::set<std::string> lines;
  std::ostringstream id;
  id << name << " = 0x" << std::hex << interface.getProto().getId();
  lines.insert(id.str());
  for (const auto method : interface.getMethods()) {
    const std::string path = name + "." + method.getProto().getName().cStr();
    lines.insert(path + " = @" + std::to_string(method.getOrdinal()));
    for (const auto field : method.getParamType().getFields())
      lines.insert(path + "(" + field.getProto().getName().cStr() + ") = @" +
                   std::to_string(field.getProto().getOrdinal().getExplicit()));
    for (const auto field : method.getResultType().getFields())
      lines.insert(path + " -> " + field.getProto().getName().cStr() + " = @" +
                   std::to_string(field.getProto().getOrdinal().getExplicit()));
  }
  return lines;
}

std::set<std::string> numbers_of_all() {
  std::set<std::string> lines;
  for (const auto interface : interfaces()) lines.merge(numbers_of(interface));
  return lines;
}

unsigned choice_of(const Case& one) {
  const auto members = one.second.getUnionFields();
  for (unsigned i = 0; i < members.size(); ++i)
    if (one.first.ends_with(std::string("-") + members[i].getProto().getName().cStr())) return i;
  return 0;
}

/// `version`: 1 for the first version's; a struct that has grown since has more of them.
fs::path golden_file(const std::string& name, unsigned version = 1) {
  const std::string suffix = version == 1 ? "" : "." + std::to_string(version);
  return fs::path(KNEE_GOLDEN) / (name + suffix + ".txt");
}

/// Those that are there, the first version's first.
std::vector<fs::path> golden_files(const std::string& name) {
  std::vector<fs::path> files{golden_file(name)};
  for (unsigned version = 2; fs::exists(golden_file(name, version)); ++version)
    files.push_back(golden_file(name, version));
  return files;
}

fs::path interfaces_file() {
  return fs::path(KNEE_GOLDEN) / "interfaces.txt";
}

kj::Array<capnp::word> canonical(DynamicStruct::Reader message) {
  capnp::MallocMessageBuilder builder;
  builder.setRoot(message);
  return builder.getRoot<capnp::AnyStruct>().asReader().canonicalize();
}

void write_golden(const Case& one, const fs::path& path) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<DynamicStruct>(one.second);
  Filler().fill(root, choice_of(one));
  std::ofstream file(path);
  file << "bytes " << hex(canonical(root.asReader())) << '\n';
  for (const auto& line : described(one.first, root.asReader())) file << line << '\n';
}

bool may_write() {
  return std::getenv("KNEE_WRITE_GOLDEN") != nullptr;
}

/// The fields of a struct that no golden file of it says anything of. (Members of its union have a
/// file each; capabilities have no bytes.)
std::vector<std::string> fields_without_bytes(capnp::StructSchema schema) {
  const std::string name = schema.getShortDisplayName().cStr();
  std::vector<std::string> lines;
  for (const auto& one : cases())
    if (one.second == schema)
      for (const auto& path : golden_files(one.first))
        for (auto& line : read_golden(path).lines) lines.push_back(std::move(line));
  std::vector<std::string> missing;
  for (const auto field : schema.getNonUnionFields()) {
    const std::string path = name + "." + field.getProto().getName().cStr();
    const bool said = std::any_of(lines.begin(), lines.end(), [&path](const std::string& line) {
      return line.starts_with(path) && line.find_first_of(" .[", path.size()) == path.size();
    });
    if (!said && !field.getType().isInterface()) missing.push_back(path);
  }
  return missing;
}

/// `look(case, golden, message)` at the bytes of each file.
template <class Look>
void for_each_golden(Look look) {
  for (const auto& one : cases())
    for (const auto& path : golden_files(one.first)) {
      INFO(path.filename().string());
      const auto golden = read_golden(path);
      const auto bytes = words(golden.bytes);
      const kj::ArrayPtr<const capnp::word> segment = bytes;
      capnp::SegmentArrayMessageReader message(kj::arrayPtr(&segment, 1));
      look(one, golden, message);
    }
}

}  // namespace

TEST_CASE("every struct and every member of a union has its golden bytes") {
  for (const auto& one : cases()) {
    if (may_write() && !fs::exists(golden_file(one.first)))
      write_golden(one, golden_file(one.first));
    INFO(one.first);
    CHECK(fs::exists(golden_file(one.first)));
  }
}

TEST_CASE("every field of a struct that has grown has golden bytes of a later version") {
  for (const auto& one : cases()) {
    const auto next = static_cast<unsigned>(golden_files(one.first).size()) + 1;
    if (may_write() && !fields_without_bytes(one.second).empty())
      write_golden(one, golden_file(one.first, next));
    CHECK(fields_without_bytes(one.second) == std::vector<std::string>{});
  }
}

TEST_CASE("the bytes of each version say today what they said then") {
  for_each_golden([](const auto& one, const Golden& golden, auto& message) {
    const auto said = described(one.first, message.template getRoot<DynamicStruct>(one.second));
    REQUIRE(golden.lines.size() >= 1);
    for (const auto& line : golden.lines) {
      INFO("said: " << line);
      CHECK(said.contains(line));
    }
  });
}

TEST_CASE("what today's code writes of it are the bytes of that version") {
  for_each_golden([](const auto& one, const Golden& golden, auto& message) {
    CHECK(message.isCanonical());
    CHECK(hex(canonical(message.template getRoot<DynamicStruct>(one.second))) == golden.bytes);
  });
}

TEST_CASE("interfaces, their methods, and what these take and give keep their numbers") {
  const auto today = numbers_of_all();
  for (const auto& line : read_golden(interfaces_file()).lines) {
    INFO("interfaces.txt said: " << line);
    CHECK(today.contains(line));
  }
}

TEST_CASE("every interface and method has its golden number") {
  const auto lines = read_golden(interfaces_file()).lines;
  std::set<std::string> golden(lines.begin(), lines.end());
  for (const auto& line : numbers_of_all()) {
    if (may_write() && golden.insert(line).second)
      std::ofstream(interfaces_file(), std::ios::app) << line << '\n';
    INFO(line);
    CHECK(golden.contains(line));
  }
}

TEST_CASE("no struct and no interface of the schemas is left out") {
  std::set<std::string> known;
  for (const auto schema : structs()) known.insert(schema.getShortDisplayName().cStr());
  for (const auto interface : interfaces()) known.insert(interface.getShortDisplayName().cStr());
  for (const auto& entry : fs::directory_iterator(KNEE_SCHEMAS)) {
    if (entry.path().extension() != ".capnp") continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      std::istringstream text(line);
      std::string word;
      std::string name;
      if (text >> word >> name && (word == "struct" || word == "interface")) {
        INFO(name);
        CHECK(known.contains(name));
      }
    }
  }
}
