#pragma once
#include <kj/async.h>

#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "client/driver/callback_thread.h"
#include "client/driver/wait_graph.h"

namespace knee::driver {

/// Who carries out calls one at a time, and may wait for others meanwhile.
class Waiter {
 public:
  /// As ObjectHost.waits (worker.capnp).
  struct Wait {
    std::uint64_t call = 0;
    std::vector<std::uint64_t> behind{};
    std::vector<std::uint64_t> within{};
  };

  virtual ~Waiter() noexcept(false) = default;
  /// What it waits for, if it says so: one that is busy takes its time.
  virtual kj::Promise<Wait> wait() = 0;
  /// As ObjectHost.refuse (worker.capnp).
  virtual kj::Promise<void> refuse(std::uint64_t call, const char* why) = 0;
  /// It carries out nothing any more.
  virtual bool is_over() const = 0;
  /// For messages.
  virtual std::string slave_name() const = 0;

 protected:
  /// From the results of `waits`, of whichever interface.
  template <class Results>
  static Wait read(const Results& results) {
    Wait wait{.call = results.getCall()};
    for (const auto number : results.getBehind()) wait.behind.push_back(number);
    for (const auto number : results.getWithin()) wait.within.push_back(number);
    return wait;
  }
};

/// Finds circles of processes and tasks that wait for each other, of which the callback thread may
/// be one, and breaks them (decision 13). Lives on the RPC loop.
class Circles final : public kj::TaskSet::ErrorHandler {
 public:
  struct Surroundings {
    /// What the callback thread waits for, and what waits for it.
    std::function<CallbackThread::HeldUp()> held_up;
    /// Fails a call on an object, of this driver.
    std::function<void(const detail::TaskState&, std::exception_ptr why)> fail;
  };
  explicit Circles(Surroundings surroundings) : surroundings_(std::move(surroundings)) {}

  /// It is asked from now on until it is over ...
  void watch(std::shared_ptr<Waiter> waiter);
  /// ... and forgotten at one of these, which are to come from time to time.
  void forget_those_over();
  /// Asks all what they wait for, and fails a call of each circle.
  void break_all() { look({}); }

 private:
  struct Watched {
    std::shared_ptr<Waiter> waiter;
    bool is_asked = false;
  };
  struct Member {
    std::shared_ptr<Waiter> waiter{};     ///< null: the callback thread
    std::vector<std::uint64_t> behind{};  ///< calls that wait for its own
  };
  struct Look;

  void taskFailed(kj::Exception&&) override {}
  /// `suspected`: the calls of a circle that was found before; it is broken if it is still there.
  void look(std::set<std::uint64_t> suspected);
  void ask(const std::shared_ptr<Look>& look, const std::shared_ptr<Watched>& one);
  void heard(Look& look, std::shared_ptr<Waiter> waiter, Waiter::Wait wait);
  void break_circle(const Look& look, const std::vector<std::size_t>& circle);

  Surroundings surroundings_;
  std::list<std::shared_ptr<Watched>> watched_;
  kj::TaskSet asked_{*this};
};

}  // namespace knee::driver
