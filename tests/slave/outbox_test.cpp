#include "slave/outbox.h"

#include <catch2/catch.hpp>
#include <cstring>
#include <string>

using namespace knee;
using slave::Outbox;

namespace {

/// One update out of an outbox.
class Update {
 public:
  explicit Update(Outbox& outbox) { outbox.fill(message_.initRoot<proto::Update>()); }
  proto::Update::Reader operator*() { return message_.getRoot<proto::Update>(); }
  capnp::MallocMessageBuilder message_;
};

void add_value(Outbox& outbox, std::uint64_t id, std::size_t size = 8) {
  outbox.add_outcome([&](proto::Outcome::Builder outcome) {
    outcome.setId(id);
    const std::string bytes(size, 'v');
    outcome.initValue().setInline(
        kj::arrayPtr(reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()));
  });
}

void add_large(Outbox& outbox, Outbox::Value value) {
  channel::RecordBuilder builder;
  const auto record = builder.build<proto::FromWorker>([&](proto::FromWorker::Builder root) {
    auto payload = root.initOutcome().initValue();
    payload.setValue(1);  // the worker's number
    payload.setSize(value.bytes);
  });
  outbox.add_record(record, value);
}

}  // namespace

TEST_CASE("an empty outbox fills nothing, and its answer needs no acknowledgement") {
  Outbox outbox;
  CHECK(outbox.empty());
  Update update(outbox);
  CHECK((*update).getNumber() == 0);
}

TEST_CASE("outcomes leave once, in order, in numbered updates") {
  Outbox outbox;
  for (std::uint64_t id = 1; id <= 3; ++id) add_value(outbox, id);
  CHECK_FALSE(outbox.empty());
  CHECK(outbox.bytes() > 0);
  Update first(outbox);
  CHECK((*first).getNumber() == 1);
  const auto outcomes = (*first).getOutcomes();
  REQUIRE(outcomes.size() == 3);
  for (unsigned i = 0; i < 3; ++i) CHECK(outcomes[i].getId() == i + 1);
  CHECK(outcomes[0].getValue().getInline().size() == 8);
  CHECK(outbox.empty());
  CHECK(outbox.bytes() == 0);
  add_value(outbox, 4);
  Update second(outbox);
  CHECK((*second).getNumber() == 2);
  REQUIRE((*second).getOutcomes().size() == 1);
  CHECK((*second).getOutcomes()[0].getId() == 4);
}

TEST_CASE("an update holds about a megabyte, the next one the rest") {
  Outbox outbox;
  for (std::uint64_t id = 0; id < 100; ++id) add_value(outbox, id, 40'000);
  std::uint64_t next = 0;
  int updates = 0;
  for (; !outbox.empty(); ++updates) {
    Update update(outbox);
    const auto outcomes = (*update).getOutcomes();
    CHECK(outcomes.size() <= 27);
    CHECK((*update).totalSize().wordCount * 8 < 1'200'000);
    for (const auto outcome : outcomes) CHECK(outcome.getId() == next++);
  }
  CHECK(next == 100);
  CHECK(updates == 4);
  CHECK(outbox.bytes() == 0);
}

TEST_CASE("a large result is named by the number under which it can be fetched") {
  Outbox outbox;
  add_large(outbox, {.id = 77, .bytes = 1'000'000});
  Update update(outbox);
  const auto value = (*update).getOutcomes()[0].getValue();
  REQUIRE(value.isValue());
  CHECK(value.getValue() == 77);
  CHECK(value.getSize() == 1'000'000);
}

TEST_CASE("an update names no more large results than a driver can take in at once") {
  Outbox outbox;
  for (std::uint64_t id = 0; id < 25; ++id) add_large(outbox, {.id = id, .bytes = 100'000});
  CHECK((*Update(outbox)).getOutcomes().size() == 11);
  CHECK((*Update(outbox)).getOutcomes().size() == 11);
  CHECK((*Update(outbox)).getOutcomes().size() == 3);
  CHECK(outbox.bytes() == 0);
  add_large(outbox, {.id = 1, .bytes = 50'000'000});
  add_large(outbox, {.id = 2, .bytes = 50'000'000});
  CHECK((*Update(outbox)).getOutcomes().size() == 1);
}

TEST_CASE("output leaves in order, a megabyte at a time") {
  Outbox outbox;
  for (int i = 0; i < 30; ++i)
    outbox.add_output(static_cast<std::uint64_t>(i), 2, i % 2 == 1, std::string(100'000, 'o'));
  CHECK(outbox.bytes() == 3'000'000);
  std::uint64_t next = 0;
  while (!outbox.empty()) {
    Update update(outbox);
    CHECK((*update).getOutput().size() <= 11);
    for (const auto output : (*update).getOutput()) {
      CHECK(output.getId() == next);
      CHECK(output.getSlot() == 2);
      CHECK(output.getError() == (next % 2 == 1));
      CHECK(output.getText().size() == 100'000);
      ++next;
    }
  }
  CHECK(next == 30);
  CHECK(outbox.bytes() == 0);
}

TEST_CASE("a task's outcome does not overtake what it printed") {
  Outbox outbox;
  for (int i = 0; i < 25; ++i) outbox.add_output(1, 0, false, std::string(100'000, 'o'));
  add_value(outbox, 1);
  std::size_t printed = 0;
  while (!outbox.empty()) {
    Update update(outbox);
    printed += (*update).getOutput().size();
    if ((*update).getOutcomes().size() != 0) CHECK(printed == 25);
  }
  CHECK(printed == 25);
}

TEST_CASE("of what is said about a running task only the newest is sent") {
  Outbox outbox;
  outbox.add_started(1, 1, 10, -1);
  outbox.add_started(2, 1, 10, -1);
  outbox.add_started(1, 1, 20, 0.5F);
  Update update(outbox);
  const auto started = (*update).getStarted();
  REQUIRE(started.size() == 2);
  CHECK(started[0].getId() == 2);
  CHECK(started[1].getId() == 1);
  CHECK(started[1].getRunningFor() == 20);
  CHECK(started[1].getProgress() == 0.5F);
  CHECK(outbox.empty());
}

TEST_CASE("notes, slots and draining are told once") {
  Outbox outbox;
  outbox.add_note("a worker died");
  outbox.set_slots(7);
  outbox.set_draining();
  Update first(outbox);
  REQUIRE((*first).getNotes().size() == 1);
  CHECK(std::string((*first).getNotes()[0].cStr()) == "a worker died");
  CHECK((*first).getSlots() == 7);
  CHECK((*first).getDraining());
  CHECK(outbox.empty());
  outbox.set_slots(7);
  outbox.set_draining();
  CHECK(outbox.empty());
  outbox.set_slots(6);
  CHECK_FALSE(outbox.empty());
  Update second(outbox);
  CHECK((*second).getSlots() == 6);
}

TEST_CASE("a take-back is answered when its outcomes have gone, not before") {
  Outbox outbox;
  for (std::uint64_t id = 0; id < 60; ++id) add_value(outbox, id, 40'000);
  outbox.set_take_back_answered();
  std::size_t seen = 0;
  bool answered = false;
  while (!outbox.empty()) {
    Update update(outbox);
    seen += (*update).getOutcomes().size();
    REQUIRE_FALSE(answered);
    answered = (*update).getTakeBackAnswered();
  }
  CHECK(answered);
  CHECK(seen == 60);
}

TEST_CASE("a take-back that found nothing is answered too") {
  Outbox outbox;
  outbox.set_take_back_answered();
  CHECK_FALSE(outbox.empty());
  Update update(outbox);
  CHECK((*update).getTakeBackAnswered());
  CHECK((*update).getNumber() == 1);
  CHECK(outbox.empty());
}

TEST_CASE("an outcome with a text of any length leaves the outbox sound") {
  Outbox outbox;
  add_value(outbox, 1);
  outbox.add_outcome([](proto::Outcome::Builder outcome) {
    outcome.setId(2);
    outcome.setRefused(std::string(200'000, 'r'));
  });
  add_value(outbox, 3);
  Update update(outbox);
  const auto outcomes = (*update).getOutcomes();
  REQUIRE(outcomes.size() == 3);
  CHECK(outcomes[1].getId() == 2);
  CHECK(outcomes[1].isRefused());
  CHECK(outcomes[2].getId() == 3);
}

TEST_CASE("an outcome that cannot be copied becomes a crash of its task and holds nothing up") {
  Outbox outbox;
  add_value(outbox, 1);
  channel::RecordBuilder builder;
  const auto record = builder.build<proto::FromWorker>([](proto::FromWorker::Builder root) {
    auto outcome = root.initOutcome();
    outcome.setId(2);
    outcome.setAttempt(3);
    outcome.initValue().initInline(8);
  });
  // The pointer to the 8 bytes becomes one to 2^29 - 1 elements of no size.
  std::vector<std::uint64_t> words(record.size() / 8);
  std::memcpy(words.data(), record.data(), record.size());
  bool changed = false;
  for (auto& word : words) {
    if ((word & 3) != 1 || word >> 32 != (8 << 3 | 2)) continue;
    word = (word & 0xffffffff) | std::uint64_t{0xfffffff8} << 32;
    changed = true;
  }
  REQUIRE(changed);
  outbox.add_record(std::as_bytes(std::span(words)), std::nullopt);
  add_value(outbox, 4);
  Update update(outbox);
  const auto outcomes = (*update).getOutcomes();
  REQUIRE(outcomes.size() == 3);
  CHECK(outcomes[1].getId() == 2);
  CHECK(outcomes[1].getAttempt() == 3);
  CHECK(outcomes[1].isCrashed());
  CHECK(outcomes[2].getId() == 4);
  CHECK(outbox.empty());
}
