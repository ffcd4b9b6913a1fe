// A million random operations against a simple model of tasks, slaves and what each holds.
#include <catch2/catch.hpp>

#include <random>
#include <set>
#include <unordered_map>

#include "tests/client/driver/scheduler_fixture.h"

using namespace knee::driver;
using Action = Verdict::Action;
using Found = Cancellation::Found;

namespace {

class Model {
 public:
  explicit Model(unsigned seed) : random_(seed) {
    for (int i = 0; i < 12; ++i) add_slave();
  }

  void step() {
    // Busy times with a long queue, then quiet ones in which stragglers are noticed.
    const bool quiet = ++steps_ % 2000 > 1000;
    now_ += Duration(below(quiet ? 5'000'000 : 200'000));
    const unsigned what = below(100);
    if (what < 30 && !quiet) submit();
    if (what >= 30 && what < 75) report();
    if (what >= 75 && what < 80) start();
    if (what >= 80 && what < 84) cancel();
    if (what >= 84 && what < 90) take_backs();
    if (what == 90 && below(20) == 0) lose();
    if (what == 91 && below(20) == 0) remove();
    if (what == 92 && below(8) == 0) add_slave();
    if (what == 93 && below(20) == 0) return_slave();
    if (what == 94 && below(200) == 0) now_ += std::chrono::minutes(1);
    if (what > 60) visit();
    check_totals();
  }

  /// Runs what is left to its end: every task must be delivered.
  void finish() {
    for (Slave& slave : slaves_) {
      if (slave.removed) continue;
      slave.slots = 8;
      scheduler_.update_slave(slave.id, {8}, now_);
    }
    for (int i = 0; !open_.empty(); ++i) {
      REQUIRE(i < 100'000);
      now_ = std::max(now_ + Duration(100'000), scheduler_.next_deadline(now_).value_or(now_));
      visit();
      for (Slave& slave : slaves_) {
        while (!slave.held.empty()) end(slave, 0, AttemptEnd::value);
      }
    }
    check_totals();
    CHECK(scheduler_.totals().queued == 0);
    CHECK(scheduler_.totals().sent == 0);
    CHECK(scheduler_.totals().busy == 0);
    CHECK(delivered_ == submitted_);
  }

  /// How often the rarer things happened: a model that never meets them proves nothing.
  struct Seen {
    int twins = 0, losers = 0, retries = 0, given_back = 0, lost_for_good = 0, cancelled = 0;
    int suspended = 0;
  };
  const Seen& seen() const { return seen_; }

 private:
  struct Slave {
    SlaveId id;
    std::uint32_t slots;
    std::vector<TaskId> held;
    std::set<std::uint64_t> told_to_cancel;
    std::uint32_t asked_back = 0;
    bool removed = false;
  };
  struct Task {
    TaskId id;
    TaskFacts facts;
    int charged = 0;
    int held_by = 0;  // attempts on slaves
    bool delivered = false;
    bool cancelled = false;
  };

  unsigned below(unsigned limit) { return static_cast<unsigned>(random_() % limit); }
  Slave* some_slave() {
    if (slaves_.empty()) return nullptr;
    Slave& slave = slaves_[below(static_cast<unsigned>(slaves_.size()))];
    return slave.removed ? nullptr : &slave;
  }
  Slave& slave_of(SlaveId id) {
    for (Slave& slave : slaves_) {
      if (slave.id == id) return slave;
    }
    throw std::logic_error("the scheduler named a slave that nobody added");
  }

  void add_slave() {
    if (slaves_.size() > 60) return;
    const std::uint32_t slots = 1 + below(6);
    slaves_.push_back({scheduler_.add_slave({slots}, now_), slots, {}, {}});
  }

  void submit() {
    for (unsigned count = 1 + below(8); count-- > 0;) {
      TaskFacts facts;
      facts.kind = below(4);
      facts.argument_bytes = below(10) == 0 ? below(20u << 20) : below(1000);
      facts.cores = static_cast<std::uint16_t>(below(12) == 0 ? 1 + below(5) : 1);
      facts.attempts = static_cast<std::uint8_t>(1 + below(3));
      facts.retry_timeouts = below(2) == 0;
      facts.repeatable = below(2) == 0;
      if (below(20) == 0) {
        if (const Slave* slave = some_slave()) facts.pinned = slave->id;
      }
      const TaskId id = scheduler_.submit(facts);
      REQUIRE(open_.emplace(id.packed(), Task{id, facts}).second);
      ++submitted_;
    }
  }

  void visit() {
    std::vector<TaskId> batch;
    for (int visits = 0; const auto id = scheduler_.next_ready(now_); ++visits) {
      REQUIRE(visits < 10'000);
      Slave& slave = slave_of(*id);
      batch.clear();
      scheduler_.take(*id, now_, batch);
      for (const TaskId task : batch) receive(slave, task);
    }
  }

  void receive(Slave& slave, TaskId id) {
    const auto found = open_.find(id.packed());
    REQUIRE(found != open_.end());
    Task& task = found->second;
    REQUIRE_FALSE(task.delivered);
    REQUIRE(task.facts.cores <= slave.slots);
    REQUIRE((task.facts.pinned == kNoSlave || task.facts.pinned == slave.id));
    REQUIRE(std::count(slave.held.begin(), slave.held.end(), id) == 0);
    ++task.held_by;
    // At most one twin, and never more starts than attempts.
    REQUIRE(task.held_by <= (task.facts.repeatable ? 2 : 1));
    REQUIRE(task.held_by + task.charged <= task.facts.attempts);
    seen_.twins += task.held_by == 2;
    slave.held.push_back(id);
  }

  void report() {
    Slave* slave = some_slave();
    if (!slave || slave->held.empty()) return;
    static constexpr AttemptEnd kEnds[] = {AttemptEnd::exception,     AttemptEnd::exited,
                                           AttemptEnd::timeout,       AttemptEnd::crashed,
                                           AttemptEnd::out_of_memory, AttemptEnd::lost_uncharged};
    for (unsigned count = 1 + below(6); count-- > 0 && !slave->held.empty();) {
      const std::size_t which = below(static_cast<unsigned>(slave->held.size()));
      const bool told = slave->told_to_cancel.count(slave->held[which].packed()) > 0;
      const AttemptEnd end_as = told && below(2) == 0 ? AttemptEnd::cancelled
                                : below(5) > 0        ? AttemptEnd::value
                                                      : kEnds[below(std::size(kEnds))];
      end(*slave, which, end_as);
    }
  }

  void end(Slave& slave, std::size_t which, AttemptEnd end) {
    const TaskId id = slave.held[which];
    slave.held.erase(slave.held.begin() + static_cast<std::ptrdiff_t>(which));
    slave.told_to_cancel.erase(id.packed());
    started_.erase({id.packed(), slave.id});
    const auto run_time = Duration(1000 + below(100'000));
    const Verdict verdict = scheduler_.finished(id, slave.id, run_time, end, now_);
    const auto found = open_.find(id.packed());
    if (found == open_.end()) {
      REQUIRE(verdict.action == Action::ignore);  // the loser of two twins
      return;
    }
    Task& task = found->second;
    --task.held_by;
    const bool uncharged = end == AttemptEnd::lost_uncharged || end == AttemptEnd::given_back;
    const bool charged = end == AttemptEnd::crashed || end == AttemptEnd::out_of_memory ||
                         (end == AttemptEnd::timeout && task.facts.retry_timeouts);
    task.charged += charged;
    const bool must_deliver = !(charged || uncharged) || task.cancelled ||
                              (task.charged >= task.facts.attempts && task.held_by == 0);
    const Action expected = must_deliver       ? Action::deliver
                            : task.held_by > 0 ? Action::ignore
                                               : Action::retry;
    REQUIRE(verdict.action == expected);
    seen_.retries += charged && verdict.action == Action::retry;
    seen_.given_back += end == AttemptEnd::given_back;
    seen_.losers += verdict.loser != kNoSlave;
    if (verdict.action != Action::deliver) return;
    REQUIRE(verdict.end == (task.cancelled ? AttemptEnd::cancelled : end));
    REQUIRE((verdict.loser != kNoSlave) == (task.held_by > 0));
    if (verdict.loser != kNoSlave) slave_of(verdict.loser).told_to_cancel.insert(id.packed());
    deliver(id);
  }

  void deliver(TaskId id) {
    REQUIRE(open_.erase(id.packed()) == 1);
    ++delivered_;
  }

  void start() {
    Slave* slave = some_slave();
    if (!slave) return;
    for (std::size_t i = 0; i < std::min<std::size_t>(slave->held.size(), slave->slots); ++i) {
      scheduler_.started(slave->held[i], slave->id, now_);
      started_.insert({slave->held[i].packed(), slave->id});
    }
  }

  void cancel() {
    if (open_.empty()) return;
    std::size_t bucket = below(static_cast<unsigned>(open_.bucket_count()));
    while (open_.bucket_size(bucket) == 0) bucket = (bucket + 1) % open_.bucket_count();
    Task& task = open_.begin(bucket)->second;
    const Cancellation cancellation = scheduler_.cancel(task.id);
    REQUIRE(cancellation.found == (task.held_by > 0 ? Found::sent : Found::dropped));
    if (cancellation.found == Found::dropped) {
      deliver(task.id);
      return;
    }
    task.cancelled = true;
    ++seen_.cancelled;
    int told = 0;
    for (const SlaveId id : cancellation.slaves) {
      if (id == kNoSlave) continue;
      slave_of(id).told_to_cancel.insert(task.id.packed());
      ++told;
    }
    REQUIRE(told == task.held_by);
  }

  void take_backs() {
    std::vector<TakeBack> requests;
    scheduler_.take_backs(now_, requests);
    for (const TakeBack& request : requests) {
      Slave& slave = slave_of(request.slave);
      REQUIRE(slave.asked_back == 0);
      REQUIRE(request.count > 0);
      slave.asked_back = request.count;
    }
    Slave* slave = some_slave();
    if (!slave || slave->asked_back == 0) return;
    std::uint32_t given = 0;
    while (given < slave->asked_back && slave->held.size() > slave->slots) {
      end(*slave, slave->held.size() - 1, AttemptEnd::given_back);
      ++given;
    }
    slave->asked_back = 0;
    scheduler_.take_back_done(slave->id, given, now_);
  }

  void lose() {
    if (Slave* slave = some_slave()) go_away(*slave, false);
  }
  void remove() {
    if (Slave* slave = some_slave()) go_away(*slave, true);
  }
  void go_away(Slave& slave, bool for_ever) {
    for (const TaskId id : slave.held) {
      const auto found = open_.find(id.packed());
      if (found == open_.end()) continue;
      --found->second.held_by;
      const bool started = started_.erase({id.packed(), slave.id}) > 0;
      const bool last = found->second.charged + 1 >= found->second.facts.attempts;
      found->second.charged += started || last;
    }
    std::vector<EndedTask> ended;
    if (for_ever) {
      scheduler_.remove_slave(slave.id, now_, ended);
    } else {
      scheduler_.lose_slave(slave.id, now_, ended);
    }
    slave.held.clear();
    slave.told_to_cancel.clear();
    slave.asked_back = 0;
    slave.slots = 0;
    slave.removed = for_ever;
    for (const EndedTask& end : ended) {
      const Task& task = open_.at(end.task.packed());
      REQUIRE((task.held_by == 0 || task.cancelled));  // its twin was told to cancel
      const bool orphan = for_ever && task.facts.pinned == slave.id;
      REQUIRE((task.cancelled || task.charged >= task.facts.attempts || orphan));
      deliver(end.task);
      ++seen_.lost_for_good;
    }
    if (for_ever) std::erase_if(slaves_, [](const Slave& s) { return s.removed; });
  }
  void return_slave() {
    Slave* slave = some_slave();
    if (!slave || slave->slots > 0) return;
    slave->slots = 1 + below(6);
    scheduler_.update_slave(slave->id, {slave->slots}, now_);
  }

  void check_totals() {
    std::uint64_t sent = 0;
    std::uint64_t held_open = 0;
    for (const Slave& slave : slaves_) {
      sent += slave.held.size();
      const SlaveState state = scheduler_.state_of(slave.id);
      REQUIRE(state.held_tasks == slave.held.size());
      REQUIRE(state.slots == slave.slots);
    }
    REQUIRE(scheduler_.totals().sent == sent);
    std::vector<SlaveEvent> events;
    scheduler_.take_events(events);
    seen_.suspended += !events.empty();
    if (below(1000) != 0) return;
    for (const auto& [key, task] : open_) held_open += task.held_by > 0;
    REQUIRE(scheduler_.totals().queued == open_.size() - held_open);
  }

  std::mt19937 random_;
  Scheduler scheduler_;
  Time now_{std::chrono::hours(1)};
  std::vector<Slave> slaves_;
  std::unordered_map<std::uint64_t, Task> open_;
  std::set<std::pair<std::uint64_t, SlaveId>> started_;
  Seen seen_;
  std::uint64_t steps_ = 0;
  std::uint64_t submitted_ = 0;
  std::uint64_t delivered_ = 0;
};

}  // namespace

TEST_CASE("in a million random steps every task is delivered once and all counts match") {
  for (unsigned seed = 1; seed <= 10; ++seed) {
    Model model(seed);
    for (int i = 0; i < 100'000; ++i) model.step();
    model.finish();
    INFO("twins " << model.seen().twins << ", losers " << model.seen().losers << ", retries "
                  << model.seen().retries << ", given back " << model.seen().given_back
                  << ", lost for good " << model.seen().lost_for_good << ", cancelled "
                  << model.seen().cancelled << ", suspended " << model.seen().suspended);
    CHECK(model.seen().twins > 100);
    CHECK(model.seen().losers > 50);
    CHECK(model.seen().retries > 1000);
    CHECK(model.seen().given_back > 100);
    CHECK(model.seen().lost_for_good > 10);
    CHECK(model.seen().cancelled > 100);
    CHECK(model.seen().suspended > 10);
  }
}
