#pragma once
#include <knee/knee.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <stdexcept>
#include <utility>

#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/slave_process.h"
#include "tests/system/harness/slow_line.h"

namespace knee::test {

/// Runs `body(session, slave)` with a Python session on a slave of its own; nothing is to be left
/// behind. Without Python it says so and does nothing.
template <class Body>
void with_python(Body body) {
#ifdef KNEE_PYTHON_BUILT
  SlaveProcess gandalf;
  const LeakCheck leaks({&gandalf});
  {
    ClusterOptions options;
    options.slaves = {gandalf.address()};
    options.insecure = true;
    options.commands_only = true;
    knee::Cluster cluster(options);
    body(cluster.slave("gandalf").python(), gandalf);
  }
  CHECK(leaks.found() == "");
#else
  (void)body;
  WARN("skipped: built without Python sessions");
#endif
}

/// The same with a slave that is so far away: `body(session)`.
template <class Body>
void with_python_over(std::chrono::milliseconds one_way, Body body) {
#ifdef KNEE_PYTHON_BUILT
  SlaveProcess gandalf;
  const SlowLine line(gandalf.address(), one_way);
  ClusterOptions options;
  options.slaves = {line.address()};
  options.insecure = true;
  options.commands_only = true;
  knee::Cluster cluster(options);
  body(cluster.slave("gandalf").python());
#else
  (void)one_way;
  (void)body;
  WARN("skipped: built without Python sessions");
#endif
}

/// The Error that `action` throws.
template <class Action>
Error error_of_python(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  throw std::logic_error("an Error was to be thrown and none was");
}

}  // namespace knee::test
