#include "client/driver/failure.h"

#include <capnp/message.h>
#include <knee/error.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <functional>

#include "client/driver/function_table.h"
#include "common/program/cpu_flags.h"
#include "task_fixture.h"

using namespace knee;
using namespace knee::driver;
using namespace knee::test;
using namespace std::chrono_literals;

namespace {

Error thrown(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& failure) {
    return failure;
  }
}

struct Failures : TaskFixture {
  capnp::MallocMessageBuilder message;
  proto::Outcome::Builder outcome = message.initRoot<proto::Outcome>();
  detail::TaskRef one = task();

  Failures() {
    one->attempt = 2;
    one->timeout = 1'500'000'000;
  }
  ~Failures() { complete(one); }
  Error error(const std::vector<std::string>& cpu_flags = {}) {
    return thrown(error_of(*one, outcome.asReader(), "gandalf", cpu_flags));
  }
  AttemptEnd end() { return end_of(outcome.asReader()); }
};

const char* const kSubject = "task 'bag: sum' on slave gandalf, attempt 2 ";

void fill(proto::Death::Builder death) {
  death.setExplanation("killed by signal 11 (Segmentation fault)");
  death.setStderrTail("about to\nfail\n");
  death.setExitCode(3);
}
const char* const kDeath =
    "killed by signal 11 (Segmentation fault)\nlast lines of its stderr:\nabout to\nfail\n";

}  // namespace

TEST_CASE_METHOD(Failures, "a value and an ended command are no failures") {
  outcome.initValue();
  CHECK(end() == AttemptEnd::value);
  outcome.initCommandEnded();
  CHECK(end() == AttemptEnd::value);
}

TEST_CASE_METHOD(Failures, "an exception: type and text, also in parts") {
  auto failure = outcome.initException();
  failure.setType("std::out_of_range");
  failure.setWhat("index 7");
  CHECK(end() == AttemptEnd::exception);
  const auto failed = error();
  CHECK(failed.kind() == Error::Kind::exception);
  CHECK(failed.what() == std::string(kSubject) + "threw std::out_of_range: index 7");
  CHECK(failed.slave() == "gandalf");
  CHECK(failed.task() == "bag: sum");
  CHECK(failed.attempt() == 2);
  CHECK(failed.exception_type() == "std::out_of_range");
  CHECK(failed.exception_text() == "index 7");
}

TEST_CASE_METHOD(Failures, "the attempt is named also if it is the first, but not if none began") {
  one->attempt = 1;
  outcome.setRefused("no");
  CHECK(std::string(error().what()) ==
        "task 'bag: sum' on slave gandalf, attempt 1 was refused: no");
  one->attempt = 0;
  CHECK(std::string(thrown(unshippable_error(*one, "no")).what()) ==
        "task 'bag: sum' can run nowhere: no");
  CHECK(std::string(thrown(cancelled_error(*one)).what()) == "task 'bag: sum' was cancelled");
}

TEST_CASE_METHOD(Failures, "an illegal instruction: what the slave's processor lacks, if it said") {
  auto death = outcome.initCrashed();
  death.setSignal(SIGILL);
  const auto words = [&](std::vector<std::string> flags) {
    return std::string(error(flags).what());
  };
  CHECK(words({}).find("processor") == std::string::npos);
  const auto here = program::cpu_flags();
  if (here.empty()) return;  // the kernel does not tell
  CHECK(words(here).find("processor has all that this machine's has") != std::string::npos);
  auto fewer = here;
  fewer.pop_back();
  if (fewer.empty()) return;
  CHECK(words(fewer).find("processor lacks what this machine's has: " + here.back() + ".") !=
        std::string::npos);
  death.setSignal(SIGSEGV);
  CHECK(words(fewer).find("processor") == std::string::npos);
}

TEST_CASE_METHOD(Failures, "an exit: its code and what is known of the worker") {
  fill(outcome.initExited());
  CHECK(end() == AttemptEnd::exited);
  CHECK(error().kind() == Error::Kind::exited);
  CHECK(error().what() == std::string(kSubject) + "called exit(3): " + kDeath);
}

TEST_CASE_METHOD(Failures, "a crash: how, and the last words") {
  fill(outcome.initCrashed());
  CHECK(end() == AttemptEnd::crashed);
  CHECK(error().kind() == Error::Kind::crashed);
  CHECK(error().what() == std::string(kSubject) + "crashed: " + kDeath);
}

TEST_CASE_METHOD(Failures, "a crash without last words ends with the explanation") {
  outcome.initCrashed().setExplanation("its keeper process was killed");
  CHECK(error().what() == std::string(kSubject) + "crashed: its keeper process was killed");
}

TEST_CASE_METHOD(Failures, "too little memory says so") {
  fill(outcome.initOutOfMemory());
  CHECK(end() == AttemptEnd::out_of_memory);
  CHECK(error().kind() == Error::Kind::out_of_memory);
  CHECK(error().what() == std::string(kSubject) + "was killed for want of memory: " + kDeath);
}

TEST_CASE_METHOD(Failures, "a timeout: how long it ran and how long it might have") {
  outcome.initTimedOut();
  outcome.setRunTime(1'620'000'000);
  CHECK(end() == AttemptEnd::timeout);
  CHECK(error().kind() == Error::Kind::timeout);
  CHECK(error().what() ==
        std::string(kSubject) + "ran for 1.62 s, longer than its limit of 1.5 s, and was killed");
}

TEST_CASE_METHOD(Failures, "a refusal gives the slave's reason, and is charged") {
  outcome.setRefused("it wants 9 slots and this slave has 4");
  CHECK(end() == AttemptEnd::crashed);
  CHECK(error().kind() == Error::Kind::refused);
  CHECK(error().what() ==
        std::string(kSubject) + "was refused: it wants 9 slots and this slave has 4");
}

TEST_CASE_METHOD(Failures, "a cancelled task names the slave on which it ran, if it did") {
  outcome.setCancelled();
  CHECK(end() == AttemptEnd::cancelled);
  CHECK(error().kind() == Error::Kind::cancelled);
  CHECK(std::string(error().what()) == "task 'bag: sum', attempt 2 was cancelled");
  outcome.setRunTime(1);
  CHECK(error().what() == std::string(kSubject) + "was cancelled");
  CHECK(error().slave() == "gandalf");
}

TEST_CASE_METHOD(Failures, "a task for a slave that cannot come hears who is there") {
  const auto error = thrown(no_such_slave_error(*one, "sam", {"frodo", "gandalf"}));
  CHECK(error.kind() == Error::Kind::setup);
  CHECK_THAT(error.what(), Catch::Contains("no slave has the name 'sam'") &&
                               Catch::EndsWith("there are frodo, gandalf"));
  CHECK_THAT(thrown(no_such_slave_error(*one, "sam", {"frodo"})).what(),
             Catch::EndsWith("there is only frodo"));
}

TEST_CASE_METHOD(Failures, "a task that never started goes back") {
  outcome.setNotStarted("taken back");
  CHECK(end() == AttemptEnd::given_back);
}

TEST_CASE_METHOD(Failures, "a lost slave and a lost result name the slave and the reason") {
  const auto slave = thrown(lost_slave_error(*one, "gandalf", "the connection broke"));
  CHECK(slave.kind() == Error::Kind::slave_lost);
  CHECK_THAT(slave.what(), Catch::StartsWith(kSubject) && Catch::Contains("no attempts left") &&
                               Catch::EndsWith("the connection broke"));
  const auto result = thrown(lost_result_error(*one, "gandalf", "the connection broke"));
  CHECK(result.kind() == Error::Kind::slave_lost);
  CHECK_THAT(result.what(), Catch::StartsWith(kSubject) &&
                                Catch::Contains("could not be fetched") &&
                                Catch::EndsWith("the connection broke"));
}

TEST_CASE("a suspended slave is named with its back-off, and when it is used again") {
  SlaveEvent event{};
  event.what = SlaveEvent::What::suspended;
  event.back_off = 30s;
  CHECK(describe(event, "gandalf") ==
        "slave gandalf is given no tasks for 30 s: tasks crash there that succeed elsewhere");
  event.what = SlaveEvent::What::resumed;
  CHECK(describe(event, "gandalf") == "slave gandalf is given tasks again");
}

TEST_CASE("a function gets the next index at its first use, and keeps it") {
  auto& table = FunctionTable::instance();
  static const detail::FunctionEntry one{nullptr, "one"};
  static const detail::FunctionEntry other{nullptr, "other"};
  const auto before = table.size();
  CHECK(detail::function_index(one) == before + 1);
  CHECK(table.add(one) == before);
  CHECK(table.add(other) == before + 1);
  CHECK(detail::function_index(other) == before + 2);
  CHECK(table.size() == before + 2);
  CHECK(table.from(before) == std::vector<const detail::FunctionEntry*>{&one, &other});
  CHECK(table.from(before + 1) == std::vector<const detail::FunctionEntry*>{&other});
  CHECK(table.from(before + 2).empty());
  CHECK(table.from(before + 100).empty());
}

TEST_CASE("threads that use functions first at once agree on their indexes") {
  static const std::vector<detail::FunctionEntry> entries(64);
  std::vector<std::vector<std::uint32_t>> seen(4);
  std::vector<std::thread> threads;
  const auto before = FunctionTable::instance().size();
  for (auto& list : seen)
    threads.emplace_back([&list] {
      for (const auto& entry : entries) list.push_back(detail::function_index(entry));
    });
  for (auto& thread : threads) thread.join();
  CHECK(FunctionTable::instance().size() == before + 64);
  for (const auto& list : seen) CHECK(list == seen.front());
}
