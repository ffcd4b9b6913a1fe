#include <kj/exception.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "common/channel/record.h"
#include "common/channel/ring.h"
#include "proto/worker.capnp.h"
#include "slave/outbox.h"

/// What a worker left in its outcome ring, as the slave reads it: the ring, the record, the
/// outcome, and on into an update for the driver. What is taken for good at one step must not fail
/// at a later one.
using namespace knee;

namespace {

constexpr std::size_t kRing = 4096;

void take(std::span<const std::byte> record, slave::Outbox& outbox) {
  std::vector<std::uint64_t> copy(record.size() / sizeof(capnp::word));
  if (copy.empty()) return;
  std::memcpy(copy.data(), record.data(), copy.size() * sizeof(capnp::word));
  const auto bytes = std::as_bytes(std::span(copy));
  channel::RecordReader reader(bytes);
  const auto root = reader.checked_root<proto::FromWorker>();
  if (root.which() == proto::FromWorker::UNUSABLE) (void)root.getUnusable().cStr();
  if (root.which() != proto::FromWorker::OUTCOME) return;
  const auto outcome = root.getOutcome();
  const bool large = outcome.isValue() && outcome.getValue().isValue();
  outbox.add_record(bytes, large ? std::optional(slave::Outbox::Value{1, 1000}) : std::nullopt);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // The first two bytes say how far the writer claims to have come, the rest is the ring's memory.
  std::uint16_t written = 0;
  if (size < sizeof written) return 0;
  std::memcpy(&written, data, sizeof written);
  std::vector<std::uint64_t> memory(kRing / 8);
  std::memcpy(memory.data(), data + sizeof written, std::min(size - sizeof written, kRing));

  channel::RingReader ring(std::as_bytes(std::span(memory)));
  slave::Outbox outbox;
  try {
    while (const auto record = ring.read(written)) take(*record, outbox);
  } catch (const std::runtime_error&) {
  } catch (const kj::Exception&) {
  }
  // Not in a try: an outbox that cannot be emptied would block its session for ever.
  while (!outbox.empty()) {
    capnp::MallocMessageBuilder message;
    outbox.fill(message.initRoot<proto::Update>());
    (void)capnp::messageToFlatArray(message);
  }
  return 0;
}
