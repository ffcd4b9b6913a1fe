#include "use_wire.h"

#include <knee/error.h>

#include "client/call/block.h"
#include "client/call/use_result.h"
#include "client/call/value_wire.h"
#include "common/rpc/rpc_loop.h"

namespace knee::detail {
namespace {

/// What a message with a failure takes at most, in words.
constexpr std::uint64_t kWordsOfFailure = 64;

template <class Message>
void write_table(Message to, const ValueWriter& writer, const ObjectDoors& doors) {
  auto objects = to.initObjects(static_cast<unsigned>(writer.objects().size()));
  for (unsigned i = 0; i < objects.size(); ++i) objects.set(i, doors.offer(writer.objects()[i]));
  offer_blocks(to.initBlocks(static_cast<unsigned>(writer.blocks().size())), writer.blocks());
}

/// What a message refers to, once it is here.
struct Table {
  std::vector<ObjectRef> objects;
  Contents blocks;
};

template <class Message>
kj::Promise<std::shared_ptr<Table>> read_table(Message from, const ObjectDoors& doors,
                                               std::optional<Element> numbers = std::nullopt) {
  auto table = std::make_shared<Table>();
  auto list = from.getObjects();
  table->objects.resize(list.size());
  kj::Vector<kj::Promise<void>> all;
  all.add(fetch_blocks(from.getBlocks(), numbers).then([table](Contents blocks) {
    table->blocks = std::move(blocks);
  }));
  for (unsigned i = 0; i < list.size(); ++i)
    all.add(doors.hold(list[i]).then(
        [table, i](ObjectRef object) { table->objects[i] = std::move(object); }));
  return kj::joinPromises(all.releaseAsArray()).then([table] { return table; });
}

/// Of what kind the numbers are, of a value that is nothing else.
std::optional<Element> numbers_alone(proto::Value::Reader value) {
  if (!value.isBuffer()) return std::nullopt;
  return static_cast<Element>(value.getBuffer().getElement());
}

void write_failure(proto::Failure::Builder to, const ExceptionText& failed) {
  to.setType(failed.type);
  to.setWhat(failed.what);
  to.setTraceback(failed.traceback);
}

}  // namespace

void write_use(proto::Use::Builder to, const Use& use, const CallIdentity& identity,
               const ObjectDoors& doors) {
  ValueWriter writer;
  writer.write(to, use);
  to.setChain(identity.chain);
  to.setNumber(identity.number);
  write_table(to, writer, doors);
}

capnp::MessageSize size_of(const Use& use) {
  return {words_of(use) + 64, static_cast<unsigned>(use.arguments.size() + use.named.size())};
}

kj::Promise<std::shared_ptr<Use>> read_use(proto::Use::Reader from, const ObjectDoors& doors) {
  return read_table(from, doors).then([from](std::shared_ptr<Table> table) {
    return std::make_shared<Use>(ValueReader(table->objects, *table->blocks).read(from));
  });
}

void write_answer(UseContext& context, UseAnswer answer, Use::Wanted wanted,
                  const ObjectDoors& doors) {
  const auto words = answer.failed ? 0 : words_of(answer.result.value);
  if (words > kMostMessage / sizeof(capnp::word))
    answer.failed = ExceptionText{
        "knee::Error",
        "a value that is to be copied may take 16 MiB, not counting arrays, bytes and "
        "texts of more than 256 KiB each; take it in parts, or as an array",
        ""};
  auto results = context.getResults(capnp::MessageSize{
      answer.failed
          ? kWordsOfFailure +
                (answer.failed->what.size() + answer.failed->traceback.size()) / sizeof(capnp::word)
          : words + 64,
      1});
  if (!answer.failed) {
    try {
      auto to = results.initResult();
      if (answer.result.has_value) {
        ValueWriter writer;
        writer.write(to.initValue(), answer.result.value);
        write_table(to, writer, doors);
      } else {
        to.setObject();
      }
      if (wanted == Use::Wanted::object) results.setObject(doors.offer(object_of(answer.result)));
      return;
    } catch (...) {
      answer.failed = describe_current_exception();
    }
  }
  write_failure(results.initResult().initException(), *answer.failed);
  // For uses that were given what this was to give.
  if (wanted == Use::Wanted::object) results.setObject(rpc::failure(answer.failed->what));
}

kj::Promise<std::shared_ptr<UseAnswer>> read_answer(capnp::Response<proto::Object::UseResults> from,
                                                    const ObjectDoors& doors) {
  auto answer = std::make_shared<UseAnswer>();
  const auto result = from.getResult();
  if (result.isException()) {
    const auto failure = result.getException();
    answer->failed = ExceptionText{failure.getType().cStr(), failure.getWhat().cStr(),
                                   failure.getTraceback().cStr()};
    return answer;
  }
  answer->result.has_value = result.isValue();
  if (!result.isValue()) return answer;
  return read_table(result, doors, numbers_alone(result.getValue()))
      .then([answer, from = kj::mv(from)](std::shared_ptr<Table> table) mutable {
        answer->result.value =
            ValueReader(table->objects, *table->blocks).read(from.getResult().getValue());
        return answer;
      });
}

}  // namespace knee::detail
