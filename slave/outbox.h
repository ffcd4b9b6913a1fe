#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "common/channel/record.h"
#include "proto/slave.capnp.h"
#include "proto/task.capnp.h"
#include "proto/worker.capnp.h"

namespace knee::slave {

/// What a session has to tell its driver, until an exchange carries it away. Plain data on the loop
/// thread.
class Outbox {
 public:
  /// A large result, which can be fetched.
  struct Value {
    std::uint64_t id;
    std::size_t bytes;
  };

  /// An outcome as the worker wrote it (a FromWorker record in memory of our own).
  void add_record(std::span<const std::byte> record, std::optional<Value> value);

  /// An outcome the slave itself has to report.
  template <class Fill>
  void add_outcome(Fill&& fill) {
    const auto record = builder_.build<proto::FromWorker>(
        [&](proto::FromWorker::Builder root) { fill(root.initOutcome()); });
    if (record.empty()) return add_long_outcome(fill);  // a text was longer than anybody thought
    add_record(record, std::nullopt);
  }

  /// The same for one that may be longer than a record of a channel.
  template <class Fill>
  void add_long_outcome(Fill&& fill) {
    capnp::MallocMessageBuilder message;
    fill(message.initRoot<proto::FromWorker>().initOutcome());
    const auto words = capnp::canonicalize(message.getRoot<proto::FromWorker>().asReader());
    const auto bytes = words.asBytes();
    add_record({reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()}, std::nullopt);
  }

  void add_output(std::uint64_t task, std::uint32_t slot, bool error, std::string text);
  void add_started(std::uint64_t task, std::uint16_t attempt, std::uint64_t running_for,
                   float progress);
  void add_note(std::string text) { notes_.push_back(std::move(text)); }
  void set_slots(std::uint32_t slots);
  void set_draining();
  void set_take_back_answered() { take_back_after_ = outcomes_before_ + outcomes_.size(); }

  bool empty() const;
  /// Bytes waiting: results and output. A session over its limit stops reading its workers.
  std::size_t bytes() const { return bytes_; }

  /// About what the next update takes: a message of one piece is read much faster than one of many.
  capnp::MessageSize message_size() const;

  /// Moves as much as one update should hold (about 1 MiB, with the large results it names) into
  /// `update`. An outcome never goes before output that was added before it.
  void fill(proto::Update::Builder update);

 private:
  struct Outcome {
    std::size_t offset;  ///< in words, into outcomes_words_
    std::size_t words;
    std::optional<Value> value;
    std::uint64_t output_before;  ///< pieces of output that were added before it
  };
  struct Output {
    std::uint64_t task;
    std::uint32_t slot;
    bool error;
    std::string text;
  };
  struct Started {
    std::uint64_t task;
    std::uint16_t attempt;
    std::uint64_t running_for;
    float progress;
  };

  void fill_outcomes(proto::Update::Builder update);
  void forget_sent();
  void fill_output(proto::Update::Builder update);

  channel::RecordBuilder builder_;
  std::vector<std::uint64_t> outcome_words_;  ///< clang has no copy of capnp::word
  std::vector<Outcome> outcomes_;
  std::size_t outcomes_sent_ = 0;      ///< of outcomes_
  std::uint64_t outcomes_before_ = 0;  ///< sent and forgotten
  std::deque<Output> output_;
  std::uint64_t output_added_ = 0;
  std::vector<Started> started_;
  std::vector<std::string> notes_;
  std::size_t bytes_ = 0;
  std::uint64_t number_ = 0;
  std::uint32_t slots_ = 0;
  std::uint32_t slots_told_ = 0;
  bool draining_ = false;
  bool draining_told_ = false;
  std::optional<std::uint64_t> take_back_after_;  ///< outcomes that go before the answer
};

}  // namespace knee::slave
