#pragma once
// For the main.cpp of a test program, which defines CATCH_CONFIG_RUNNER and includes Catch2 first.

#include <stdlib.h>
#include <sys/prctl.h>

#include <cstdio>
#include <optional>

#include "tests/system/harness/leak_check.h"

namespace knee::test {

/// Looks after each test case whether it has left processes or descriptors behind.
class LeakListener : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;

  void testCaseStarting(const Catch::TestCaseInfo&) override { before_.emplace(); }
  void testCaseEnded(const Catch::TestCaseStats& test) override {
    const std::string left = before_->found();
    if (left.empty()) return;
    leaks_ = true;
    std::fprintf(stderr, "LEAK: the test case \"%s\" has left\n%s", test.testInfo.name.c_str(),
                 left.c_str());
  }

  static bool has_found_some() { return leaks_; }

 private:
  static inline bool leaks_ = false;
  std::optional<LeakCheck> before_;
};
CATCH_REGISTER_LISTENER(LeakListener)

/// Runs the program's tests with this knee-slave, whatever the machine's user has set up.
inline int run_tests(int argc, char** argv, const char* knee_slave) {
  // Whatever outlives its parent becomes our child: LeakCheck finds it.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  ::setenv("KNEE_SLAVE", knee_slave, 0);
  for (const char* name : {"KNEE_SLAVES", "KNEE_HOSTS", "KNEE_LISTEN", "KNEE_LOCAL"})
    ::unsetenv(name);
  ::setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
  const int failed = Catch::Session().run(argc, argv);
  return failed == 0 && LeakListener::has_found_some() ? 1 : failed;
}

}  // namespace knee::test
