// A program that has its own Boost.Asio loop, as a server or a graphical program has. Everything of
// it happens on the one thread that runs the loop: results, a timer, Ctrl-C.
#include <knee/knee.h>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <exception>
#include <iostream>
#include <random>

namespace asio = boost::asio;

// Mean squared end-to-end distance of random walks on the cubic lattice; it is the number of steps.
double walk(std::uint64_t seed, int steps, int walks) {
  std::mt19937_64 random(seed);
  double sum = 0;
  for (int i = 0; i < walks; ++i) {
    int position[3] = {0, 0, 0};
    for (int step = 0; step < steps; ++step) {
      const auto draw = random() % 6;
      position[draw / 2] += draw % 2 ? 1 : -1;
    }
    for (const int x : position) sum += double(x) * x;
  }
  return sum / walks;
}

class Program {
 public:
  Program(asio::io_context& loop, knee::Cluster& cluster)
      : loop_(loop), ticks_(loop), interrupt_(loop, SIGINT), bag_(cluster.bag({.name = "walks"})) {}

  void start(int tasks) {
    outstanding_ = tasks;
    interrupt_.async_wait([this](boost::system::error_code stopped, int) {
      if (!stopped) bag_.cancel();  // every handler below is still called, with Error::cancelled
    });
    tick();
    for (int seed = 0; seed < tasks; ++seed)
      bag_.call<walk>(seed, 1000, 1000)
          .async_wait(asio::bind_executor(
              loop_,
              [this](std::exception_ptr failure, double distance) { take(failure, distance); }));
  }

  int failed() const { return failed_; }

 private:
  void take(const std::exception_ptr& failure, double distance) {
    if (failure) {
      ++failed_;
    } else {
      ++done_;
      sum_ += distance;
    }
    if (--outstanding_ == 0) finish();
  }

  void tick() {
    ticks_.expires_after(std::chrono::milliseconds(500));
    ticks_.async_wait([this](boost::system::error_code stopped) {
      if (stopped) return;
      std::cout << done_ << " done, " << outstanding_ << " to come" << std::endl;
      tick();
    });
  }

  // With the timer and the signal gone the loop has nothing left to do, and run() returns.
  void finish() {
    ticks_.cancel();
    interrupt_.cancel();
    std::cout << "mean squared distance after 1000 steps: " << sum_ / done_ << " (" << done_
              << " tasks, " << failed_ << " failed)\n";
  }

  asio::io_context& loop_;
  asio::steady_timer ticks_;
  asio::signal_set interrupt_;
  int outstanding_ = 0;
  int done_ = 0;
  int failed_ = 0;
  double sum_ = 0;
  knee::Bag bag_;
};

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  asio::io_context loop(1);
  Program program(loop, cluster);
  program.start(200);
  loop.run();
  return program.failed() == 0 ? 0 : 1;
}
