#include "outbox.h"

#include <kj/exception.h>

#include <algorithm>
#include <cstring>

namespace knee::slave {
namespace {

/// Of outcomes, and again of output, in one update: large enough to carry a batch, small enough
/// that a message never comes near Cap'n Proto's limits, and that a driver which takes no more
/// exchanges has soon taken in all that was sent.
constexpr std::size_t kUpdateBytes = std::size_t{1024} * 1024;

}  // namespace

void Outbox::add_record(std::span<const std::byte> record, std::optional<Value> value) {
  const std::size_t words = record.size() / sizeof(capnp::word);
  const std::size_t offset = outcome_words_.size();
  outcome_words_.resize(offset + words);
  std::memcpy(&outcome_words_[offset], record.data(), record.size());
  outcomes_.push_back({offset, words, value, output_added_});
  bytes_ += record.size();
}

void Outbox::add_output(std::uint64_t task, std::uint32_t slot, bool error, std::string text) {
  bytes_ += text.size();
  output_.push_back({task, slot, error, std::move(text)});
  ++output_added_;
}

void Outbox::add_started(std::uint64_t task, std::uint16_t attempt, std::uint64_t running_for,
                         float progress) {
  // Only the newest word about a task is worth sending.
  std::erase_if(started_, [task](const Started& s) { return s.task == task; });
  started_.push_back({task, attempt, running_for, progress});
}

void Outbox::set_slots(std::uint32_t slots) {
  slots_ = slots;
}

void Outbox::set_draining() {
  draining_ = true;
}

bool Outbox::empty() const {
  return outcomes_.size() == outcomes_sent_ && output_.empty() && started_.empty() &&
         notes_.empty() && slots_ == slots_told_ && draining_ == draining_told_ &&
         !take_back_after_;
}

capnp::MessageSize Outbox::message_size() const {
  return {128 + std::min(bytes_, 2 * kUpdateBytes) / sizeof(capnp::word), 0};
}

void Outbox::fill(proto::Update::Builder update) {
  if (empty()) return;
  update.setNumber(++number_);
  fill_output(update);
  fill_outcomes(update);

  auto started = update.initStarted(static_cast<unsigned>(started_.size()));
  for (unsigned i = 0; i < started.size(); ++i) {
    started[i].setId(started_[i].task);
    started[i].setAttempt(started_[i].attempt);
    started[i].setRunningFor(started_[i].running_for);
    started[i].setProgress(started_[i].progress);
  }
  started_.clear();
  auto notes = update.initNotes(static_cast<unsigned>(notes_.size()));
  for (unsigned i = 0; i < notes.size(); ++i) notes.set(i, notes_[i].c_str());
  notes_.clear();
  if (slots_ != slots_told_) update.setSlots(slots_);
  slots_told_ = slots_;
  update.setDraining(draining_);
  draining_told_ = draining_;
  // The answer is complete only when the outcomes that are part of it have gone.
  if (take_back_after_ && *take_back_after_ <= outcomes_before_ + outcomes_sent_) {
    update.setTakeBackAnswered(true);
    take_back_after_.reset();
  }
}

void Outbox::fill_outcomes(proto::Update::Builder update) {
  std::size_t count = 0;
  std::size_t bytes = 0;
  std::size_t value_bytes = 0;
  const std::uint64_t output_sent = output_added_ - output_.size();
  for (std::size_t i = outcomes_sent_; i < outcomes_.size() && bytes + value_bytes < kUpdateBytes &&
                                       outcomes_[i].output_before <= output_sent;
       ++i, ++count) {
    bytes += outcomes_[i].words * sizeof(capnp::word);
    if (outcomes_[i].value) value_bytes += outcomes_[i].value->bytes;
  }
  auto list = update.initOutcomes(static_cast<unsigned>(count));
  for (unsigned i = 0; i < count; ++i) {
    const auto& outcome = outcomes_[outcomes_sent_ + i];
    channel::RecordReader reader(
        std::as_bytes(std::span(&outcome_words_[outcome.offset], outcome.words)));
    const auto written = reader.root<proto::FromWorker>().getOutcome();
    try {
      list.setWithCaveats(i, written);
      if (outcome.value) list[i].getValue().setValue(outcome.value->id);
    } catch (const kj::Exception&) {
      // A worker that wrote over its own outcome: that must not keep the other ones here for ever.
      list[i].setId(written.getId());
      list[i].setAttempt(written.getAttempt());
      list[i].initCrashed().setExplanation("its worker wrote a result that cannot be read");
    }
  }
  outcomes_sent_ += count;
  bytes_ -= bytes;
  forget_sent();
}

void Outbox::forget_sent() {
  // Half and half, so that each outcome is moved once at most in the mean.
  if (outcomes_sent_ * 2 < outcomes_.size()) return;
  const auto offset =
      outcomes_sent_ == outcomes_.size() ? outcome_words_.size() : outcomes_[outcomes_sent_].offset;
  outcome_words_.erase(outcome_words_.begin(),
                       outcome_words_.begin() + static_cast<std::ptrdiff_t>(offset));
  outcomes_.erase(outcomes_.begin(),
                  outcomes_.begin() + static_cast<std::ptrdiff_t>(outcomes_sent_));
  for (auto& outcome : outcomes_) outcome.offset -= offset;
  outcomes_before_ += outcomes_sent_;
  outcomes_sent_ = 0;
}

void Outbox::fill_output(proto::Update::Builder update) {
  std::size_t count = 0;
  std::size_t bytes = 0;
  while (count < output_.size() && bytes < kUpdateBytes) bytes += output_[count++].text.size();
  auto list = update.initOutput(static_cast<unsigned>(count));
  for (unsigned i = 0; i < count; ++i) {
    const Output& output = output_.front();
    list[i].setId(output.task);
    list[i].setSlot(static_cast<std::uint16_t>(output.slot));
    list[i].setError(output.error);
    list[i].setText(
        kj::arrayPtr(reinterpret_cast<const kj::byte*>(output.text.data()), output.text.size()));
    output_.pop_front();
  }
  bytes_ -= bytes;
}

}  // namespace knee::slave
