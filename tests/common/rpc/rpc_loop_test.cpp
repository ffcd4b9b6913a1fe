#include "common/rpc/rpc_loop.h"

#include <signal.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <future>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

using knee::rpc::offload;
using knee::rpc::RpcLoop;
using namespace std::chrono_literals;

namespace {

/// A pool of threads that only keeps what it is given, until it is told to work.
struct HeldPool {
  std::vector<std::function<void()>> jobs;
  auto post() {
    return [this](auto job) { jobs.emplace_back(std::move(job)); };
  }
  /// On a thread of its own.
  void work() {
    std::thread([this] {
      for (auto& job : jobs) job();
      jobs.clear();
    }).join();
  }
};

void nothing(kj::AsyncIoContext&) {}

bool always() {
  return true;
}

}  // namespace

TEST_CASE("what one thread posts runs in its order, on one thread that is not its own") {
  std::vector<int> order;
  std::vector<std::thread::id> threads;
  {
    RpcLoop loop;
    for (int i = 0; i < 1000; ++i)
      loop.post([&, i](kj::AsyncIoContext&) {
        order.push_back(i);
        threads.push_back(std::this_thread::get_id());
      });
  }
  REQUIRE(order.size() == 1000);
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(order[static_cast<std::size_t>(i)] == i);
    REQUIRE(threads[static_cast<std::size_t>(i)] == threads.front());
  }
  CHECK(threads.front() != std::this_thread::get_id());
}

TEST_CASE("many threads post at once: nothing is lost, each thread's order is kept") {
  constexpr int kThreads = 8;
  constexpr int kEach = 5000;
  std::vector<std::vector<int>> seen(kThreads);
  {
    RpcLoop loop;
    std::vector<std::thread> posting;
    for (int t = 0; t < kThreads; ++t)
      posting.emplace_back([&, t] {
        for (int i = 0; i < kEach; ++i)
          loop.post([&seen, t, i](kj::AsyncIoContext&) {
            seen[static_cast<std::size_t>(t)].push_back(i);
          });
      });
    for (auto& thread : posting) thread.join();
  }
  for (const auto& one : seen) {
    REQUIRE(one.size() == kEach);
    for (int i = 0; i < kEach; ++i) REQUIRE(one[static_cast<std::size_t>(i)] == i);
  }
}

TEST_CASE("run waits for the job, and a sleeping loop is woken each time") {
  RpcLoop loop;
  for (int i = 0; i < 2000; ++i) {
    int seen = -1;
    loop.run([&](kj::AsyncIoContext&) { seen = i; });
    REQUIRE(seen == i);
  }
}

TEST_CASE("run rethrows what the job throws, and the loop goes on") {
  RpcLoop loop;
  CHECK_THROWS_WITH(
      loop.run([](kj::AsyncIoContext&) { throw std::invalid_argument("out of sorts"); }),
      "out of sorts");
  CHECK_THROWS_AS(loop.run([](kj::AsyncIoContext&) { throw 7; }), int);
  int ran = 0;
  loop.run([&](kj::AsyncIoContext&) { ran = 1; });
  CHECK(ran == 1);
}

TEST_CASE("a job may post, and its jobs run too, even while the loop is being destroyed") {
  std::atomic<int> depth = 0;
  {
    auto loop = std::make_unique<RpcLoop>();
    std::function<void()> deeper = [&, raw = loop.get()] {
      raw->post([&](kj::AsyncIoContext&) {
        if (++depth < 100) deeper();
      });
    };
    deeper();
    loop.reset();
  }
  CHECK(depth == 100);
}

TEST_CASE("destruction runs what was posted before") {
  std::atomic<int> ran = 0;
  for (int round = 0; round < 50; ++round) {
    RpcLoop loop;
    for (int i = 0; i < 20; ++i) loop.post([&](kj::AsyncIoContext&) { ++ran; });
  }
  CHECK(ran == 1000);
}

TEST_CASE("promises of the loop go on between jobs") {
  RpcLoop loop;
  std::promise<int> result;
  kj::Maybe<kj::Promise<void>> running;
  loop.run([&](kj::AsyncIoContext& io) {
    running = io.provider->getTimer()
                  .afterDelay(1 * kj::MILLISECONDS)
                  .then([&result] { result.set_value(7); })
                  .eagerlyEvaluate(nullptr);
  });
  CHECK(result.get_future().get() == 7);
  loop.run([&](kj::AsyncIoContext&) { running = nullptr; });
}

TEST_CASE("a thread that waits runs the loop itself until what it waits for has come") {
  RpcLoop loop;
  bool come = false;
  std::thread::id ran_on;
  kj::Maybe<kj::Promise<void>> running;
  loop.post([&](kj::AsyncIoContext& io) {
    running = io.provider->getTimer()
                  .afterDelay(5 * kj::MILLISECONDS)
                  .then([&] {
                    ran_on = std::this_thread::get_id();
                    come = true;
                    loop.post(nothing);
                  })
                  .eagerlyEvaluate(nullptr);
  });
  CHECK(loop.run_until([&] { return come; }, always));
  CHECK(come);
  CHECK(ran_on == std::this_thread::get_id());
  loop.run([&](kj::AsyncIoContext&) { running = nullptr; });
}

TEST_CASE("a thread that has what it waited for leaves the rest to whoever runs the loop next") {
  RpcLoop loop;
  bool come = false;
  std::promise<std::thread::id> rest;
  kj::Maybe<kj::Promise<void>> running;
  loop.post([&](kj::AsyncIoContext& io) {
    running = io.provider->getTimer()
                  .afterDelay(1 * kj::MILLISECONDS)
                  .then([&] {
                    come = true;
                    loop.post(nothing);
                    return kj::evalLast([&] { rest.set_value(std::this_thread::get_id()); });
                  })
                  .eagerlyEvaluate(nullptr);
  });
  auto ran = rest.get_future();
  CHECK(loop.run_until([&] { return come; }, always));
  SECTION("its own thread, soon") {
    REQUIRE(ran.wait_for(10s) == std::future_status::ready);
    CHECK(ran.get() != std::this_thread::get_id());
  }
  SECTION("a thread that posts here, before the call returns") {
    loop.post_here(nothing);
    CHECK(ran.wait_for(0s) == std::future_status::ready);
  }
  loop.run([&](kj::AsyncIoContext&) { running = nullptr; });
}

TEST_CASE("what jobs post runs on the thread that runs them") {
  RpcLoop loop;
  std::vector<std::thread::id> ran_on;
  const std::function<void(kj::AsyncIoContext&)> again = [&](kj::AsyncIoContext&) {
    ran_on.push_back(std::this_thread::get_id());
    if (ran_on.size() < 1000) loop.post(again);
  };
  REQUIRE(loop.run_until(
      [&] {
        if (ran_on.empty()) loop.post(again);
        return ran_on.size() == 1000;
      },
      always));
  CHECK(ran_on == std::vector<std::thread::id>(1000, std::this_thread::get_id()));
}

TEST_CASE("a loop that was borrowed goes on by itself afterwards") {
  RpcLoop loop;
  const auto idle = GENERATE(true, false);
  CHECK(loop.run_until(always, [idle] { return idle; }));
  std::promise<void> later;
  kj::Maybe<kj::Promise<void>> running;
  // Nobody but the loop's own thread is there to see the timer.
  loop.post_here([&](kj::AsyncIoContext& io) {
    running = io.provider->getTimer()
                  .afterDelay(2 * kj::MILLISECONDS)
                  .then([&later] { later.set_value(); })
                  .eagerlyEvaluate(nullptr);
  });
  CHECK(later.get_future().wait_for(10s) == std::future_status::ready);
  loop.run([&](kj::AsyncIoContext&) { running = nullptr; });
}

TEST_CASE("what is posted here soon after borrowing has run when the call returns") {
  RpcLoop loop;
  // Unless the lease has ended meanwhile, which must be rare enough.
  int ran_here = 0;
  for (int i = 0; i < 100; ++i) {
    REQUIRE(loop.run_until(always, always));
    std::promise<std::thread::id> ran;
    loop.post_here([&](kj::AsyncIoContext&) { ran.set_value(std::this_thread::get_id()); });
    ran_here += ran.get_future().get() == std::this_thread::get_id();
  }
  CHECK(ran_here > 0);
}

TEST_CASE("what others post runs at once while nobody runs a borrowed loop") {
  RpcLoop loop;
  for (int i = 0; i < 100; ++i) {
    REQUIRE(loop.run_until(always, always));
    int seen = -1;
    std::thread([&] { loop.run([&](kj::AsyncIoContext&) { seen = i; }); }).join();
    REQUIRE(seen == i);
  }
}

TEST_CASE("one thread at a time borrows the loop, and runs what the others post") {
  RpcLoop loop;
  std::promise<void> borrowed;
  bool end = false;
  bool lent = false;
  std::thread borrower([&] {
    loop.post([&](kj::AsyncIoContext&) { borrowed.set_value(); });
    lent = loop.run_until([&] { return end; }, always);
  });
  borrowed.get_future().wait();
  // The job above may have run before the other thread borrowed the loop.
  std::thread::id ran_on;
  while (ran_on != borrower.get_id())
    loop.run([&](kj::AsyncIoContext&) { ran_on = std::this_thread::get_id(); });
  CHECK_FALSE(loop.run_until(always, always));
  loop.run([&](kj::AsyncIoContext&) {
    end = true;
    loop.post(nothing);
  });
  borrower.join();
  CHECK(lent);
}

TEST_CASE("a thread with a KJ loop of its own borrows none") {
  RpcLoop loop;
  REQUIRE(loop.run_until(always, always));
  const auto io = kj::setupAsyncIo();
  CHECK_FALSE(loop.run_until(always, always));
  int ran = 0;
  loop.post_here([&](kj::AsyncIoContext&) { ran = 1; });
  loop.run([&](kj::AsyncIoContext&) { ++ran; });
  CHECK(ran == 2);
}

TEST_CASE("a loop that is being destroyed waits for who has borrowed it") {
  for (int round = 0; round < 50; ++round) {
    auto loop = std::make_unique<RpcLoop>();
    std::atomic<bool> end = false;
    std::promise<void> inside;
    bool told = false;
    bool ran = false;
    std::thread borrower([&, &borrowed = *loop] {
      ran = borrowed.run_until(
          [&] {
            if (!std::exchange(told, true)) inside.set_value();
            return end.load();
          },
          always);
    });
    inside.get_future().wait();
    loop->post([&, &borrowed = *loop](kj::AsyncIoContext&) {
      end = true;
      borrowed.post(nothing);
    });
    loop.reset();
    CHECK(end);
    borrower.join();
    CHECK(ran);
  }
}

TEST_CASE("threads that post, wait and borrow at once lose nothing") {
  constexpr int kThreads = 4;
  constexpr int kEach = 2000;
  RpcLoop loop;
  std::atomic<int> inside = 0;
  std::atomic<bool> met = false;
  std::vector<std::atomic<bool>> all_done(kThreads * kEach);
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        auto& done = all_done[static_cast<std::size_t>(t * kEach + i)];
        const auto job = [&](kj::AsyncIoContext&) {
          if (inside++ != 0) met = true;
          --inside;
          done = true;
          done.notify_one();
          loop.post(nothing);
        };
        if (i % 2 == 0)
          loop.post_here(job);
        else
          loop.post(job);
        loop.run_until([&] { return done.load(); }, [i, t] { return i % 3 == t % 3; });
        done.wait(false);
      }
    });
  for (auto& thread : threads) thread.join();
  CHECK_FALSE(met);
}

TEST_CASE("the loop's thread leaves signals to others, and the maker's mask as it was") {
  sigset_t before;
  sigset_t after;
  sigset_t inside;
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  RpcLoop loop;
  loop.run([&](kj::AsyncIoContext&) { pthread_sigmask(SIG_SETMASK, nullptr, &inside); });
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  CHECK(sigismember(&inside, SIGTERM) == 1);
  CHECK(sigismember(&inside, SIGINT) == 1);
  CHECK(sigismember(&after, SIGTERM) == sigismember(&before, SIGTERM));
}

TEST_CASE("offloaded work resolves on the loop with its result") {
  auto io = kj::setupAsyncIo();
  HeldPool pool;
  std::thread::id worked;
  auto number = offload(pool.post(), [&worked] {
    worked = std::this_thread::get_id();
    return 42;
  });
  bool done = false;
  auto nothing = offload(pool.post(), [&done] { done = true; });
  CHECK_FALSE(number.poll(io.waitScope));
  pool.work();
  CHECK(number.wait(io.waitScope) == 42);
  nothing.wait(io.waitScope);
  CHECK(done);
  CHECK(worked != std::this_thread::get_id());
}

TEST_CASE("what offloaded work throws rejects the promise with its text") {
  auto io = kj::setupAsyncIo();
  HeldPool pool;
  auto failing = offload(pool.post(), []() -> int { throw std::runtime_error("disk full"); });
  auto odd = offload(pool.post(), [] { throw 7; });
  pool.work();
  CHECK_THROWS_WITH(failing.wait(io.waitScope), Catch::Contains("disk full"));
  CHECK_THROWS_AS(odd.wait(io.waitScope), kj::Exception);
}

TEST_CASE("offloaded work runs to its end though its promise, or its loop, is gone") {
  HeldPool pool;
  bool dropped_ran = false;
  {
    auto io = kj::setupAsyncIo();
    {
      auto dropped = offload(pool.post(), [&] { dropped_ran = true; });
    }
    pool.work();
    CHECK(dropped_ran);
    {
      auto late = offload(pool.post(), [&] { return 1; });
    }
  }
  pool.work();
}

TEST_CASE("the text of an exception is its description alone") {
  const kj::Exception error(kj::Exception::Type::FAILED, "file.c++", 7, kj::heapString("it rains"));
  CHECK(knee::rpc::text_of(error) == "it rains");
}

TEST_CASE("the text of an exception has nothing in it of the ways it took") {
  const auto text = [](const char* description) {
    return knee::rpc::text_of(
        kj::Exception(kj::Exception::Type::FAILED, "file.c++", 7, kj::heapString(description)));
  };
  CHECK(text("remote exception: std::exception: it rains") == "it rains");
  CHECK(text("remote exception: remote exception: it rains") == "it rains");
  CHECK(text("remote exception: expected size > 0; no size; size = 0") == "no size; size = 0");
  CHECK(text("no remote exception: none") == "no remote exception: none");
  CHECK(text("expected rain") == "expected rain");
  auto io = kj::setupAsyncIo();
  const auto thrown = kj::runCatchingExceptions([] { throw std::runtime_error("it rains"); });
  KJ_IF_MAYBE (error, thrown)
    CHECK(knee::rpc::text_of(*error) == "it rains");
  else
    FAIL("it was not caught");
}
