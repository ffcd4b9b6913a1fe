#pragma once
#include <kj/vector.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/digest.h"
#include "common/channel/record.h"
#include "proto/object.capnp.h"
#include "proto/task.capnp.h"
#include "proto/worker.capnp.h"
#include "slave/input_pins.h"
#include "slave/worker_line.h"

namespace knee::slave {

/// A task the session has and no worker has finished: the facts the slave looks at, and the record
/// it passes on without looking. Movable only.
struct QueuedTask {
  std::uint64_t id = 0;
  std::uint64_t timeout = 0;  ///< ns, 0: none
  std::uint32_t function = 0;
  std::uint16_t attempt = 1;
  std::uint16_t cores = 1;
  bool is_command = false;
  std::optional<std::uint64_t> value;         ///< id of the argument value that was moved ahead
  std::uint64_t value_size = 0;               ///< its bytes
  std::vector<Digest> shared;                 ///< of the shared values it uses
  std::vector<Digest> inputs;                 ///< of the files it wants placed, if it is a command
  InputHolds holds;                           ///< on `inputs`; the session's to fill
  kj::Vector<proto::Object::Client> objects;  ///< what its arguments refer to
  kj::Own<WorkerLine> line;                   ///< on which the worker that has it gets those
  channel::StoredRecord record;               ///< a ToWorker with the task
};

/// Copies a task out of a message. Empty if its record would be too long for the channel (a sender
/// that keeps the rules never does that).
std::optional<QueuedTask> queue_task(proto::Task::Reader task, channel::RecordBuilder& builder);

}  // namespace knee::slave
