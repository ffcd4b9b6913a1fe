#include "slave/queued_task.h"

#include <catch2/catch.hpp>
#include <string>

using namespace knee;
using slave::queue_task;

namespace {

struct Message {
  capnp::MallocMessageBuilder message;
  proto::Task::Builder task = message.initRoot<proto::Task>();
  channel::RecordBuilder records;

  void set_arguments(std::size_t size) {
    auto bytes = task.initArguments().initInline(static_cast<unsigned>(size));
    for (auto& byte : bytes) byte = 0xab;
  }
  auto queue() { return queue_task(task.asReader(), records); }
};

proto::Task::Reader task_in(channel::RecordReader& record) {
  return record.root<proto::ToWorker>().getTask();
}

}  // namespace

TEST_CASE("what the slave looks at is copied, and the whole task is in the record") {
  Message message;
  message.task.setId(7);
  message.task.setFunction(3);
  message.task.setAttempt(2);
  message.task.setCores(4);
  message.task.setTimeout(1'000'000'000);
  message.set_arguments(100);
  const auto queued = message.queue();
  REQUIRE(queued);
  CHECK(queued->id == 7);
  CHECK(queued->function == 3);
  CHECK(queued->attempt == 2);
  CHECK(queued->cores == 4);
  CHECK(queued->timeout == 1'000'000'000);
  CHECK_FALSE(queued->is_command);
  CHECK_FALSE(queued->value);
  CHECK(queued->shared.empty());
  channel::RecordReader record(queued->record.bytes());
  CHECK(task_in(record).getId() == 7);
  CHECK(task_in(record).getArguments().getInline().size() == 100);
}

TEST_CASE("the record outlives the message and the next record") {
  Message message;
  message.task.setId(1);
  const auto first = message.queue();
  message.task.setId(2);
  const auto second = message.queue();
  REQUIRE(first);
  REQUIRE(second);
  channel::RecordReader record(first->record.bytes());
  CHECK(task_in(record).getId() == 1);
}

TEST_CASE("a plain task takes one core in its first attempt") {
  Message message;
  const auto queued = message.queue();
  REQUIRE(queued);
  CHECK(queued->cores == 1);
  CHECK(queued->attempt == 1);
  CHECK(queued->timeout == 0);
}

TEST_CASE("an argument that went ahead is known by its number") {
  Message message;
  message.task.initArguments().setValue(99);
  const auto queued = message.queue();
  REQUIRE(queued);
  CHECK(queued->value == 99);
}

TEST_CASE("arguments as long as the rules allow fit a record, longer ones are refused") {
  Message message;
  message.set_arguments(channel::kMaxInline);
  const auto queued = message.queue();
  REQUIRE(queued);
  CHECK(queued->record.bytes().size() <= channel::kMaxRecord);
  message.set_arguments(channel::kMaxRecord);
  CHECK_FALSE(message.queue());
}

TEST_CASE("a command may be of any length") {
  Message message;
  auto arguments = message.task.initCommand().initArguments(100);
  const std::string long_one(10'000, 'x');
  for (unsigned i = 0; i < 100; ++i) arguments.set(i, long_one);
  const auto queued = message.queue();
  REQUIRE(queued);
  CHECK(queued->is_command);
  channel::RecordReader record(queued->record.bytes());
  CHECK(task_in(record).getCommand().getArguments().size() == 100);
}
