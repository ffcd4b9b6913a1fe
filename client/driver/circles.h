#pragma once
#include <kj/async.h>
#include <kj/timer.h>

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
/// be one, and breaks them (decision 13). It believes what slaves say (SECURITY.md).
/// Lives on the RPC loop.
class Circles final : public kj::TaskSet::ErrorHandler {
 public:
  struct Surroundings {
    /// What the callback thread waits for, and what waits for it.
    std::function<CallbackThread::HeldUp()> held_up;
    /// Fails what the callback thread waits for.
    std::function<void(detail::TaskState&, std::exception_ptr why)> fail;
  };
  Circles(kj::Timer& timer, Surroundings surroundings)
      : timer_(timer), surroundings_(std::move(surroundings)) {}

  /// It is asked from now on until it is over ...
  void watch(std::shared_ptr<Waiter> waiter);
  /// ... and forgotten at one of these, which are to come from time to time.
  void forget_those_over();
  /// Asks all what they wait for, soon once more if there seem to be circles, and fails a call of
  /// each that is still there. Seconds between two of these.
  void break_all();

 private:
  struct Watched {
    std::shared_ptr<Waiter> waiter;
    bool is_asked = false;
    kj::Promise<void> question = nullptr;
  };
  struct Member {
    std::shared_ptr<Waiter> waiter{};     ///< null: the callback thread
    std::vector<std::uint64_t> behind{};  ///< calls that wait for its own
  };
  struct Look;

  void taskFailed(kj::Exception&&) override {}
  void look();
  void ask(Watched& one);
  void heard(Look& look, std::shared_ptr<Waiter> waiter, Waiter::Wait wait);
  void break_circle(const Look& look, const std::vector<std::size_t>& circle);

  kj::Timer& timer_;
  Surroundings surroundings_;
  /// The calls of each circle that was found since the last look began.
  std::set<std::set<std::uint64_t>> suspected_;
  std::shared_ptr<Look> look_;  ///< the last; what is answered to others comes too late
  std::list<Watched> watched_;
  kj::Promise<void> again_ = nullptr;
  kj::TaskSet refusals_{*this};
};

}  // namespace knee::driver
