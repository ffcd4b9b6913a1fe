#pragma once
#include <optional>
#include <string>

#include "common/process/death_record.h"
#include "proto/task.capnp.h"

namespace knee::slave {

/// What is known of a dead process.
struct DeathFacts {
  const std::optional<process::DeathRecord>& record;
  const std::string& explanation;
  const std::string& stderr_tail;
};

void fill_death(proto::Death::Builder out, const DeathFacts& facts);

struct WorkerDeath;
/// The outcome of what ran in a worker that died.
void fill_end(proto::Outcome::Builder out, const WorkerDeath& death);

}  // namespace knee::slave
