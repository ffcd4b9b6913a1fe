#pragma once

#include "common/process/spawn_plan.h"

namespace knee::test {

/// The number under which behaviours find the write end of a Witness.
inline constexpr int kWitness = 7;

/// What a process started as `<this executable> --behave <name> [argument]` does; see the table in
/// behaviour.cpp.
int behave(int argc, char** argv);

/// A plan that runs this executable so.
process::SpawnPlan plan_of(const std::string& name, const std::string& argument = "0");

}  // namespace knee::test
