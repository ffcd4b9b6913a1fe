#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <catch2/catch.hpp>

#include <atomic>
#include <exception>
#include <future>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/tasks.h"

namespace asio = boost::asio;
using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;

namespace {

int refuse(int x) {
  throw std::domain_error("not with " + std::to_string(x));
}

void refuse_silently() {
  throw std::domain_error("no");
}

void do_nothing() {}

std::string text_of_failure(const std::exception_ptr& failure) {
  if (!failure) return "";
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return error.kind() == Error::Kind::cancelled ? "cancelled" : error.exception_text();
  } catch (const std::exception& error) {
    return std::string("not an Error: ") + error.what();
  }
}

/// What `future` fails with.
template <class T>
std::string failure_of(std::future<T> future) {
  try {
    future.get();
  } catch (...) {
    return text_of_failure(std::current_exception());
  }
  return "";
}

asio::awaitable<int> sum_of(knee::Promise<int> a, knee::Promise<int> b) {
  const int first = co_await a.async_wait();
  co_return first + co_await b.async_wait(asio::use_awaitable);
}

asio::awaitable<std::string> failure_awaited(knee::Promise<int> promise) {
  try {
    co_await promise.async_wait();
  } catch (const Error& error) {
    co_return error.exception_text();
  }
  co_return "";
}

asio::awaitable<std::string> failure_in_a_tuple(knee::Promise<int> promise) {
  const auto [failure, value] = co_await promise.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return text_of_failure(failure) + (value == 0 ? "" : ", and a value");
}

asio::awaitable<std::string> nothing_awaited(knee::Promise<void> good, knee::Promise<void> bad) {
  co_await good.async_wait();
  try {
    co_await bad.async_wait();
  } catch (const Error& error) {
    co_return error.exception_text();
  }
  co_return "";
}

/// Runs `work` on an io_context of its own until that has nothing to do, and gives its result.
template <class T>
T result_of(asio::awaitable<T> work) {
  asio::io_context loop;
  auto result = asio::co_spawn(loop, std::move(work), asio::use_future);
  loop.run();
  REQUIRE(result.wait_for(0s) == std::future_status::ready);
  return result.get();
}

}  // namespace

TEST_CASE("handlers run in the threads of their executors") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    struct Loop {
      asio::io_context context{1};
      std::vector<int> values;
      int elsewhere = 0;
    };
    std::vector<Loop> loops(2);
    std::vector<std::jthread> threads;
    for (auto& loop : loops)
      threads.emplace_back([&loop, &bag, tasks = static_cast<int>(&loop - loops.data()) * 1000] {
        const auto here = std::this_thread::get_id();
        for (int i = 0; i < 100; ++i)
          bag.call<twice>(tasks + i).async_wait(asio::bind_executor(
              loop.context, [&loop, here](const std::exception_ptr& failure, int value) {
                loop.elsewhere += std::this_thread::get_id() != here || failure ? 1 : 0;
                loop.values.push_back(value);
              }));
        loop.context.run();
      });
    threads.clear();
    for (int l = 0; l < 2; ++l) {
      const auto& loop = loops[static_cast<std::size_t>(l)];
      CHECK(loop.elsewhere == 0);
      CHECK(loop.values.size() == 100);
      for (const int value : loop.values) CHECK(value / 2000 == l);
    }
    bag.wait();
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a handler never runs inside async_wait, even if the result is there") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto promise = cluster.call<twice>(21);
  REQUIRE(wait_until([&] { return promise.ready(); }));
  asio::io_context loop(1);
  bool inside = true;
  int value = 0;
  asio::post(loop, [&] {
    promise.async_wait(asio::bind_executor(loop, [&](const std::exception_ptr&, int x) {
      value = x;
      CHECK_FALSE(inside);
    }));
    inside = false;
  });
  loop.run();
  CHECK(value == 42);
}

TEST_CASE("a handler without an executor runs on the callback thread") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  std::thread::id of_callbacks;
  std::thread::id of_handler;
  bag.call<twice>(1).then([&](int) { of_callbacks = std::this_thread::get_id(); });
  bag.call<twice>(1).async_wait(
      [&](const std::exception_ptr&, int) { of_handler = std::this_thread::get_id(); });
  bag.wait();
  CHECK(of_handler == of_callbacks);
  CHECK(of_handler != std::thread::id());
}

TEST_CASE("handlers on a strand do not overlap, and a pool waits for them") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  asio::thread_pool pool(3);
  const auto strand = asio::make_strand(pool);
  std::atomic<int> inside = 0;
  std::atomic<int> overlaps = 0;
  Tally results(500);
  for (int i = 0; i < 500; ++i)
    bag.call<twice>(i).async_wait(
        asio::bind_executor(strand, [&](const std::exception_ptr&, int x) {
          overlaps += inside.fetch_add(1);
          results.add(x / 2);
          inside -= 1;
        }));
  pool.join();
  CHECK(results.complaints() == "");
  CHECK(overlaps == 0);
}

TEST_CASE("an io_context does not run out of work while a task is awaited") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(reaching(slave));
    asio::io_context loop(1);
    std::atomic<bool> handled = false;
    std::atomic<bool> returned = false;
    cluster.call<hold>(1, folder / "started", folder / "go")
        .async_wait(
            asio::bind_executor(loop, [&](const std::exception_ptr&, int) { handled = true; }));
    std::jthread runs([&] {
      loop.run();
      returned = true;
    });
    wait_for_marks(folder / "started");
    CHECK_FALSE(returned);
    leave_mark(folder / "go", "");
    runs.join();
    CHECK(handled);
    // And with the last handler its work ends.
    CHECK(loop.stopped());
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("wait of a bag does not wait for handlers on an executor that nobody runs") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  asio::io_context loop(1);
  int sum = 0;
  for (int i = 0; i < 10; ++i)
    bag.call<twice>(i).async_wait(
        asio::bind_executor(loop, [&](const std::exception_ptr&, int x) { sum += x; }));
  bag.wait();
  CHECK(sum == 0);
  loop.run();
  CHECK(sum == 90);
}

TEST_CASE("a failure comes to a handler, and is then handled") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  asio::io_context loop(1);
  std::string failure;
  std::string of_void;
  int value = 1;
  bag.call<refuse>(7).async_wait(asio::bind_executor(loop, [&](std::exception_ptr thrown, int x) {
    failure = text_of_failure(thrown);
    value = x;
  }));
  bag.call<refuse_silently>().async_wait(asio::bind_executor(
      loop, [&](std::exception_ptr thrown) { of_void = text_of_failure(thrown); }));
  loop.run();
  CHECK(failure == "not with 7");
  CHECK(value == 0);
  CHECK(of_void == "no");
  bag.wait();
  CHECK(bag.counts().failed == 2);
}

TEST_CASE("use_future gives values and failures") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    std::future<int> value = bag.call<twice>(21).async_wait(asio::use_future);
    std::future<void> nothing = bag.call<do_nothing>().async_wait(asio::use_future);
    CHECK(value.get() == 42);
    nothing.get();
    CHECK(failure_of(bag.call<refuse>(3).async_wait(asio::use_future)) == "not with 3");
    CHECK(failure_of(bag.call<refuse_silently>().async_wait(asio::use_future)) == "no");
    bag.wait();
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a coroutine awaits values and failures") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  {
    knee::Cluster cluster(reaching(slave));
    auto bag = cluster.bag();
    CHECK(result_of(sum_of(bag.call<twice>(1), bag.call<twice>(20))) == 42);
    CHECK(result_of(failure_awaited(bag.call<refuse>(5))) == "not with 5");
    CHECK(result_of(failure_in_a_tuple(bag.call<refuse>(6))) == "not with 6");
    CHECK(result_of(nothing_awaited(bag.call<do_nothing>(), bag.call<refuse_silently>())) == "no");
    bag.wait();
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a deferred wait gives values and failures when it is started") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  auto waiting = bag.call<twice>(21).async_wait(asio::deferred);
  auto failing = bag.call<refuse>(8).async_wait(asio::deferred);
  REQUIRE(wait_until([&] { return bag.counts().outstanding == 0; }));
  CHECK(std::move(waiting)(asio::use_future).get() == 42);
  CHECK(failure_of(std::move(failing)(asio::use_future)) == "not with 8");
  bag.wait();
}

TEST_CASE("a deferred wait that is never started leaves a failure to the bag") {
  SlaveProcess slave;
  knee::Cluster cluster(reaching(slave));
  auto bag = cluster.bag();
  { [[maybe_unused]] auto never = bag.call<refuse>(9).async_wait(asio::deferred); }
  CHECK(error_out_of([&] { bag.wait(); }).exception_text() == "not with 9");
}

TEST_CASE("cancelling a bag ends what is awaited through a token, each exactly once") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    knee::Cluster cluster(impatient(slave));
    auto bag = cluster.bag();
    asio::io_context loop(1);
    std::vector<std::string> ends;
    for (int i = 0; i < 5; ++i)
      bag.call<hold>(i, folder / "started", folder / "go")
          .async_wait(asio::bind_executor(loop, [&](std::exception_ptr failure, int) {
            ends.push_back(text_of_failure(failure));
          }));
    auto future = bag.call<twice>(1).async_wait(asio::use_future);
    wait_for_marks(folder / "started", 2);
    bag.cancel();
    loop.run();
    CHECK(ends == std::vector<std::string>(5, "cancelled"));
    CHECK(failure_of(std::move(future)) == "cancelled");
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("a handler may run after its cluster has gone") {
  SlaveProcess slave;
  const LeakCheck leaks({&slave});
  const TemporaryFolder folder;
  {
    asio::io_context loop(1);
    std::vector<std::string> ends;
    int value = 0;
    std::future<int> future;
    {
      knee::Cluster cluster(impatient(slave));
      auto done = cluster.call<twice>(21);
      REQUIRE(wait_until([&] { return done.ready(); }));
      done.async_wait(
          asio::bind_executor(loop, [&](const std::exception_ptr&, int x) { value = x; }));
      cluster.call<hold>(1, folder / "started", folder / "go")
          .async_wait(asio::bind_executor(loop, [&](std::exception_ptr failure, int) {
            ends.push_back(text_of_failure(failure));
          }));
      future =
          cluster.call<hold>(2, folder / "started", folder / "go").async_wait(asio::use_future);
      wait_for_marks(folder / "started", 2);
    }
    loop.run();
    CHECK(value == 42);
    CHECK(ends == std::vector<std::string>{"cancelled"});
    CHECK(failure_of(std::move(future)) == "cancelled");
  }
  CHECK(leaks.found() == "");
}
