#include "slave/fair_share.h"

#include <catch2/catch.hpp>
#include <map>
#include <queue>
#include <vector>

using knee::slave::FairShare;
using namespace std::chrono_literals;
using Client = FairShare::Client;
using Time = FairShare::Time;

namespace {

/// Sessions that always have work, on a clock of ours: each task holds its slots for a while.
class Simulation {
 public:
  explicit Simulation(std::uint32_t slots) : slots_(slots) {}

  Client add(const std::string& identity, std::uint32_t cores = 1,
             std::chrono::milliseconds task = 100ms, std::uint32_t limit = 0) {
    const auto client = slots_.add(identity, limit);
    demands_[client] = {cores, task};
    slots_.want(client, cores);
    return client;
  }
  void leave(Client client) {
    demands_.erase(client);
    slots_.remove(client, now_);
  }

  void run(std::chrono::milliseconds span) {
    const Time end = now_ + span;
    start();
    while (!running_.empty() && running_.top().end <= end) {
      const auto task = running_.top();
      running_.pop();
      now_ = task.end;
      if (demands_.contains(task.client)) {
        used_[task.client] += task.cores * task.seconds;
        slots_.give_back(task.client, task.cores, now_);
      }
      start();
      most_busy_ = std::max(most_busy_, slots_.busy());
    }
    now_ = end;
  }

  double used(Client client) { return used_[client]; }
  std::uint32_t most_busy() const { return most_busy_; }
  FairShare& slots() { return slots_; }
  Time now() const { return now_; }

 private:
  struct Demand {
    std::uint32_t cores;
    std::chrono::milliseconds task;
  };
  struct Task {
    Time end;
    Client client;
    std::uint32_t cores;
    double seconds;
    bool operator<(const Task& other) const { return end > other.end; }
  };

  void start() {
    while (const auto client = slots_.grant(now_)) {
      const auto& demand = demands_.at(*client);
      running_.push({now_ + demand.task, *client, demand.cores,
                     std::chrono::duration<double>(demand.task).count()});
      slots_.want(*client, demand.cores);
    }
  }

  FairShare slots_;
  std::map<Client, Demand> demands_;
  std::map<Client, double> used_;
  std::priority_queue<Task> running_;
  Time now_ = Time{} + 1000s;
  std::uint32_t most_busy_ = 0;
};

const Time kStart = Time{} + 1000s;

}  // namespace

TEST_CASE("a lone session gets all slots and no more") {
  FairShare slots(3);
  const auto client = slots.add("anna");
  for (int i = 0; i < 3; ++i) {
    slots.want(client, 1);
    CHECK(slots.grant(kStart) == client);
  }
  slots.want(client, 1);
  CHECK_FALSE(slots.grant(kStart));
  CHECK(slots.busy() == 3);
  slots.give_back(client, 1, kStart + 1s);
  CHECK(slots.grant(kStart + 1s) == client);
}

TEST_CASE("a grant uses the want up, and nobody is granted what nobody wants") {
  FairShare slots(3);
  const auto client = slots.add("anna");
  CHECK_FALSE(slots.grant(kStart));
  slots.want(client, 1);
  CHECK(slots.grant(kStart));
  CHECK_FALSE(slots.grant(kStart));
  slots.want(client, 1);
  slots.want(client, 0);
  CHECK_FALSE(slots.grant(kStart));
}

TEST_CASE("two identities converge to equal core-seconds, whatever their tasks take") {
  Simulation simulation(4);
  const auto short_tasks = simulation.add("anna", 1, 20ms);
  const auto long_tasks = simulation.add("bert", 1, 700ms);
  simulation.run(300s);
  CHECK(simulation.used(short_tasks) == Approx(simulation.used(long_tasks)).epsilon(0.05));
  CHECK(simulation.used(short_tasks) + simulation.used(long_tasks) == Approx(1200).epsilon(0.02));
}

TEST_CASE("ten sessions of one identity get together what one of another gets") {
  Simulation simulation(4);
  std::vector<Client> many;
  for (int i = 0; i < 10; ++i) many.push_back(simulation.add("anna"));
  const auto one = simulation.add("bert");
  simulation.run(300s);
  double sum = 0;
  for (const auto client : many) {
    sum += simulation.used(client);
    CHECK(simulation.used(client) == Approx(60).epsilon(0.1));  // a tenth of the half each
  }
  CHECK(sum == Approx(simulation.used(one)).epsilon(0.05));
}

TEST_CASE("many short sessions one after the other get no more than a long one") {
  Simulation simulation(2);
  const auto stays = simulation.add("anna");
  simulation.run(60s);
  const double before = simulation.used(stays);
  double sum = 0;
  for (int i = 0; i < 300; ++i) {
    const auto comes = simulation.add("bert");
    simulation.run(1s);
    sum += simulation.used(comes);
    simulation.leave(comes);
  }
  CHECK(sum < 1.2 * (simulation.used(stays) - before));
}

TEST_CASE("a newcomer gets slots as soon as they are free, and an absent one forfeits nothing") {
  Simulation simulation(4);
  const auto old = simulation.add("anna");
  simulation.run(600s);
  const auto young = simulation.add("bert");
  const double before = simulation.used(old);
  simulation.run(200s);
  // The past fades with a half-life of 30 s: the newcomer is ahead, but not for ever.
  CHECK(simulation.used(young) > 0.5 * 800);
  CHECK(simulation.used(young) < 0.65 * 800);
  CHECK(simulation.used(old) - before > 0.35 * 800);
}

TEST_CASE("a task that wants several slots is not starved by small ones") {
  Simulation simulation(4);
  const auto wide = simulation.add("anna", 4, 100ms);
  const auto narrow = simulation.add("bert", 1, 130ms);
  simulation.run(300s);
  CHECK(simulation.used(wide) > 300);
  CHECK(simulation.used(narrow) > 300);
  CHECK(simulation.most_busy() <= 4);
}

TEST_CASE("while a wide want is next, free slots are kept for it") {
  FairShare slots(4);
  const auto narrow = slots.add("anna");
  const auto wide = slots.add("bert");
  slots.want(narrow, 1);
  REQUIRE(slots.grant(kStart) == narrow);
  slots.want(wide, 4);
  slots.want(narrow, 1);
  CHECK_FALSE(slots.grant(kStart + 1s));
  slots.give_back(narrow, 1, kStart + 2s);
  CHECK(slots.grant(kStart + 2s) == wide);
  CHECK_FALSE(slots.grant(kStart + 2s));
  CHECK(slots.busy() == 4);
}

TEST_CASE("a session's limit holds, and what is beyond it leaves the slots to others") {
  Simulation simulation(4);
  const auto limited = simulation.add("anna", 1, 100ms, 1);
  const auto free = simulation.add("bert");
  simulation.run(100s);
  CHECK(simulation.used(limited) == Approx(100).epsilon(0.02));
  CHECK(simulation.used(free) == Approx(300).epsilon(0.02));
}

TEST_CASE("a limit above the slots is the slots, and a want above the limit blocks nobody") {
  FairShare slots(2);
  const auto greedy = slots.add("anna", 100);
  const auto modest = slots.add("bert");
  slots.want(greedy, 50);
  slots.want(modest, 1);
  CHECK(slots.grant(kStart) == modest);
  CHECK_FALSE(slots.grant(kStart));
}

TEST_CASE("what a session holds is free when it is removed") {
  FairShare slots(2);
  const auto gone = slots.add("anna");
  const auto waiting = slots.add("bert");
  slots.want(gone, 2);
  REQUIRE(slots.grant(kStart) == gone);
  slots.want(waiting, 2);
  REQUIRE_FALSE(slots.grant(kStart));
  slots.remove(gone, kStart + 1s);
  CHECK(slots.busy() == 0);
  CHECK(slots.grant(kStart + 1s) == waiting);
  slots.remove(gone, kStart + 2s);  // once more does nothing
  CHECK(slots.busy() == 2);
}

TEST_CASE("no more can be given back than is held") {
  FairShare slots(2);
  const auto client = slots.add("anna");
  slots.want(client, 1);
  REQUIRE(slots.grant(kStart));
  slots.give_back(client, 7, kStart + 1s);
  CHECK(slots.busy() == 0);
}

TEST_CASE("who holds more than another who waits yields, down to equal parts") {
  FairShare slots(4);
  const auto holder = slots.add("anna");
  const auto waiter = slots.add("bert");
  for (int i = 0; i < 4; ++i) {
    slots.want(holder, 1);
    REQUIRE(slots.grant(kStart) == holder);
  }
  CHECK_FALSE(slots.should_yield(holder, kStart + 1s));  // nobody waits
  for (int i = 0; i < 2; ++i) {
    slots.want(waiter, 1);
    CHECK(slots.should_yield(holder, kStart + 1s));
    CHECK_FALSE(slots.should_yield(waiter, kStart + 1s));
    slots.give_back(holder, 1, kStart + 1s);
    REQUIRE(slots.grant(kStart + 1s) == waiter);
  }
  slots.want(waiter, 1);
  CHECK_FALSE(slots.should_yield(holder, kStart + 2s));
}

TEST_CASE("sessions of one identity share its slots as identities share all") {
  FairShare slots(1);
  const auto one = slots.add("anna");
  const auto other = slots.add("anna");
  slots.want(one, 1);
  REQUIRE(slots.grant(kStart) == one);
  slots.want(other, 1);
  CHECK(slots.should_yield(one, kStart + 1s));
  slots.give_back(one, 1, kStart + 1s);
  slots.want(one, 1);
  REQUIRE(slots.grant(kStart + 1s) == other);
  CHECK_FALSE(slots.should_yield(other, kStart + 1s));
}

TEST_CASE("equals that share a slot take turns, and do not swap it after every task") {
  const bool same = GENERATE(true, false);
  FairShare slots(1);
  std::vector<Client> clients;
  for (int i = 0; i < 5; ++i)
    clients.push_back(slots.add(same ? "anna" : "anna" + std::to_string(i)));
  for (const auto client : clients) slots.want(client, 1);
  Time now = kStart;
  std::map<Client, double> used;
  int swaps = 0;
  std::optional<Client> holder;
  while (now < kStart + 10s) {
    if (!holder) holder = slots.grant(now);
    REQUIRE(holder);
    now += 100us;  // one task
    used[*holder] += 100e-6;
    if (!slots.should_yield(*holder, now)) continue;
    ++swaps;
    slots.give_back(*holder, 1, now);
    slots.want(*holder, 1);
    holder.reset();
  }
  CHECK(swaps <= 10'000 / 20);
  CHECK(swaps > 100);  // nobody waits long
  for (const auto client : clients) CHECK(used[client] == Approx(2).epsilon(0.05));
}

TEST_CASE("who has used clearly less gets a slot at once") {
  FairShare slots(1);
  const auto greedy = slots.add("anna");
  const auto modest = slots.add("bert");
  slots.want(greedy, 1);
  REQUIRE(slots.grant(kStart) == greedy);
  Time now = kStart + 1s;
  for (int i = 0; i < 10; ++i) {
    slots.want(modest, 1);
    REQUIRE(slots.should_yield(greedy, now));
    slots.give_back(greedy, 1, now);
    slots.want(greedy, 1);
    REQUIRE(slots.grant(now) == modest);
    now += 1ms;
    CHECK_FALSE(slots.should_yield(modest, now));
    slots.give_back(modest, 1, now);
    REQUIRE(slots.grant(now) == greedy);
    now += 1ms;
  }
}

TEST_CASE("a client's limit is its own, or all slots") {
  FairShare slots(8);
  const auto anna = slots.add("anna");
  const auto bert = slots.add("bert", 3);
  const auto greedy = slots.add("greedy", 100);
  slots.want(bert, 1);
  CHECK(slots.limit(anna) == 8);
  CHECK(slots.limit(bert) == 3);
  CHECK(slots.limit(greedy) == 8);
}
