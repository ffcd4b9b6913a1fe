#include "client/worker/current_task.h"

#include <knee/this_task.h>

#include <deque>
#include <catch2/catch.hpp>
#include <future>

#include "common/channel/slave_end.h"

using namespace knee;
using worker::CurrentTask;

namespace {

/// A worker's end with a slave's end at hand. The watcher lives as long as the process, so this
/// does too.
struct Channel {
  Channel() {
    const std::string setup = "setup";
    slave.send_setup(std::as_bytes(std::span(setup)));
    worker = std::make_unique<channel::WorkerEnd>(slave.take_worker_socket());
    task.attach(*worker, "gandalf", 3);
  }
  channel::SlaveEnd slave;
  std::unique_ptr<channel::WorkerEnd> worker;
  CurrentTask task;
};

Channel& fresh_channel() {
  static auto& all = *new std::deque<Channel>;
  return all.emplace_back();
}

}  // namespace

TEST_CASE("outside a worker there is no task") {
  CHECK_FALSE(this_task::cancelled());
  CHECK(this_task::attempt() == 0);
  CHECK(this_task::slave().empty());
  CHECK_FALSE(this_task::stop_token().stop_possible());
  this_task::progress(0.5);
}

TEST_CASE("a task knows its slave, slot and attempt, and they end with it") {
  auto& [slave, worker, task] = fresh_channel();
  CHECK(task.slave() == "gandalf");
  CHECK(task.slot() == 3);
  CHECK(task.attempt() == 0);
  task.begin(1, 2);
  CHECK(task.attempt() == 2);
  task.end();
  CHECK(task.attempt() == 0);
}

TEST_CASE("a task's progress is in the page, and nothing outside a task is") {
  auto& [slave, worker, task] = fresh_channel();
  task.progress(0.9);
  CHECK(slave.progress() < 0);
  task.begin(1, 1);
  task.progress(0.25);
  CHECK(slave.progress() == Approx(0.25));
}

TEST_CASE("a cancelled task sees it, the one after it does not") {
  auto& [slave, worker, task] = fresh_channel();
  task.begin(1, 1);
  CHECK_FALSE(task.cancelled());
  slave.cancel(1);
  CHECK(task.cancelled());
  task.end();
  CHECK_FALSE(task.cancelled());
  task.begin(2, 1);
  CHECK_FALSE(task.cancelled());
}

TEST_CASE("a stop token asked for after the cancel is stopped") {
  auto& [slave, worker, task] = fresh_channel();
  task.begin(1, 1);
  slave.cancel(1);
  CHECK(task.stop_token().stop_requested());
}

TEST_CASE("a stop token is stopped by the cancel, in this task and in the next") {
  auto& [slave, worker, task] = fresh_channel();
  for (std::uint32_t number = 1; number <= 50; ++number) {
    task.begin(number, 1);
    std::promise<void> stopped;
    {
      const std::stop_callback callback(task.stop_token(), [&] { stopped.set_value(); });
      slave.cancel(number);
      REQUIRE(stopped.get_future().wait_for(std::chrono::seconds(60)) == std::future_status::ready);
    }
    task.end();
  }
}

TEST_CASE("a stop token of a task that has ended is not stopped by a later cancel") {
  auto& [slave, worker, task] = fresh_channel();
  task.begin(1, 1);
  const auto old = task.stop_token();
  task.end();
  task.begin(2, 1);
  std::promise<void> stopped;
  const std::stop_callback callback(task.stop_token(), [&] { stopped.set_value(); });
  slave.cancel(2);
  REQUIRE(stopped.get_future().wait_for(std::chrono::seconds(60)) == std::future_status::ready);
  CHECK_FALSE(old.stop_requested());
}
