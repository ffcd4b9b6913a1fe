#include "queued_task.h"

namespace knee::slave {
namespace {

void add_digest(capnp::Data::Reader raw, std::vector<Digest>& into) {
  if (const auto digest = Digest::from_bytes(std::as_bytes(std::span(raw.begin(), raw.size()))))
    into.push_back(*digest);
}

}  // namespace

std::optional<QueuedTask> queue_task(proto::Task::Reader task, channel::RecordBuilder& builder) {
  if (task.totalSize().wordCount * sizeof(capnp::word) > channel::kMaxRecord - 64 &&
      !task.hasCommand())
    return std::nullopt;
  QueuedTask queued;
  queued.id = task.getId();
  queued.timeout = task.getTimeout();
  queued.function = task.getFunction();
  queued.attempt = task.getAttempt();
  queued.cores = task.getCores();
  queued.is_command = task.hasCommand();
  const auto payload = queued.is_command ? task.getCommand().getStdin() : task.getArguments();
  if (payload.isValue()) {
    queued.value = payload.getValue();
    queued.value_size = payload.getSize();
  }
  for (auto object : task.getCapabilities()) queued.objects.add(object);
  for (const auto raw : task.getShared()) add_digest(raw, queued.shared);
  if (queued.is_command) {
    for (const auto input : task.getCommand().getInputs())
      add_digest(input.getDigest(), queued.inputs);
    // A command never enters a channel, so its length is free.
    capnp::MallocMessageBuilder message;
    message.initRoot<proto::ToWorker>().setTask(task);
    const auto words = capnp::canonicalize(message.getRoot<proto::ToWorker>().asReader());
    queued.record = channel::StoredRecord(
        {reinterpret_cast<const std::byte*>(words.asBytes().begin()), words.asBytes().size()});
    return queued;
  }
  const auto record =
      builder.build<proto::ToWorker>([&](proto::ToWorker::Builder root) { root.setTask(task); });
  if (record.empty() || record.size() > channel::kMaxRecord) return std::nullopt;
  queued.record = channel::StoredRecord(record);
  if (queued.objects.size() != 0) builder.clear();
  return queued;
}

}  // namespace knee::slave
