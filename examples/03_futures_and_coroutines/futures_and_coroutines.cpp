// One result, four ways to take it. async_wait accepts any Boost.Asio completion token.
#include <knee/knee.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <cstdint>
#include <exception>
#include <future>
#include <iostream>
#include <latch>
#include <utility>

namespace asio = boost::asio;

std::uint64_t count_primes(std::uint64_t begin, std::uint64_t end) {
  std::uint64_t found = 0;
  for (std::uint64_t n = std::max<std::uint64_t>(begin, 2); n < end; ++n) {
    bool prime = true;
    for (std::uint64_t d = 2; d * d <= n && prime; ++d) prime = n % d != 0;
    found += prime;
  }
  return found;
}

// The library's own way: wait for it. Simple, and fine while this thread has nothing else to do.
void by_get(knee::Cluster& cluster) {
  auto promise = cluster.call<count_primes>(0, 100'000);
  std::cout << "get:         " << promise.get() << '\n';
}

// A std::future, for code that wants one.
void by_future(knee::Cluster& cluster) {
  std::future<std::uint64_t> future =
      cluster.call<count_primes>(0, 100'000).async_wait(asio::use_future);
  std::cout << "use_future:  " << future.get() << '\n';
}

// A function. Without an executor of its own it runs on the cluster's callback thread.
void by_callback(knee::Cluster& cluster) {
  std::latch done(1);
  cluster.call<count_primes>(0, 100'000)
      .async_wait([&](std::exception_ptr failure, std::uint64_t primes) {
        if (!failure) std::cout << "callback:    " << primes << '\n';
        done.count_down();
      });
  done.wait();
}

// A coroutine: reads like by_get and blocks no thread. A task's failure is thrown where it is
// awaited.
asio::awaitable<void> by_coroutine(knee::Cluster& cluster) {
  using namespace asio::experimental::awaitable_operators;

  // Both calls are under way before the first co_await.
  auto low = cluster.call<count_primes>(0, 50'000);
  auto high = cluster.call<count_primes>(50'000, 100'000);
  const auto [below, above] = co_await (low.async_wait() && high.async_wait());
  std::cout << "coroutine:   " << below + above << '\n';

  // deferred: the waiting as a value, for somebody else to start.
  auto waiting = cluster.call<count_primes>(0, 100'000).async_wait(asio::deferred);
  std::cout << "deferred:    " << co_await std::move(waiting)(asio::use_awaitable) << '\n';
}

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  by_get(cluster);
  by_future(cluster);
  by_callback(cluster);

  asio::io_context context;
  asio::co_spawn(context, by_coroutine(cluster), [](std::exception_ptr failure) {
    if (failure) std::rethrow_exception(failure);
  });
  context.run();
}
