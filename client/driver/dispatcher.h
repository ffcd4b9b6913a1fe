#pragma once
#include <kj/async-io.h>

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "client/driver/bag_state.h"
#include "client/driver/console.h"
#include "client/driver/driver.h"
#include "client/driver/meeting_place.h"
#include "client/driver/objects.h"
#include "client/driver/progress.h"
#include "client/driver/scheduler.h"
#include "client/driver/slave_link.h"
#include "client/driver/survey.h"

namespace knee::driver {

/// Moves tasks from the user's threads through the scheduler to the links, and outcomes back. Lives
/// on the RPC loop; owned by the Driver.
class Dispatcher final : public LinkOwner, public kj::TaskSet::ErrorHandler {
 public:
  Dispatcher(Driver& driver, kj::AsyncIoContext& io);
  ~Dispatcher();

  /// Begins to wait for slaves that dial, wherever the options say. Rejects, naming the address, if
  /// it cannot listen there. Called once.
  kj::Promise<void> listen();

  /// There are new submissions.
  void submissions();
  void cancel(std::uint64_t task);
  /// Cancels a task that has objects, and fails it so.
  void fail_running(const detail::TaskState& task, std::exception_ptr why);
  void cancel_bag(const detail::BagState* bag);
  /// The callback thread waits for that one, and others wait for the callback thread. If these are
  /// tasks that hold all slots it would never start, so it starts beside the slots.
  void start_awaited(const detail::TaskState& task);
  void signal(std::uint64_t task, int number);
  /// Callbacks have caught up.
  void resume();

  /// The slave with that name, made known if it is not.
  std::uint32_t slave_index(const std::string& name);
  std::vector<std::string> slave_names() const;
  unsigned slots() const;
  /// What the slaves are; of one only, if `index` is its. Resolves at the latest after `patience`.
  kj::Promise<std::shared_ptr<std::vector<SlaveInfo>>> survey_all(
      std::optional<std::uint32_t> index, std::chrono::nanoseconds patience);
  /// Keeps a promise until it has resolved.
  void keep(kj::Promise<void> promise) { background_->add(kj::mv(promise)); }

  /// The objects of this driver's references.
  Objects& objects() { return *objects_; }

  /// How far everything is, for a progress line.
  Standing standing() const;

 private:
  // LinkOwner
  void link_named(SlaveLink& link, const std::string& own_name) override;
  void link_up(SlaveLink& link, std::uint32_t slots) override;
  void link_down(SlaveLink& link, const std::string& why) override;
  void outcome(SlaveLink& link, proto::Outcome::Reader outcome) override;
  void started(SlaveLink& link, proto::Started::Reader started) override;
  void printed(SlaveLink& link, proto::OutputText::Reader output) override;
  void take_back_answered(SlaveLink& link, std::uint32_t given_back) override;
  void note(SlaveLink& link, const std::string& text) override;
  void delayed(SlaveLink& link, std::uint64_t task) override;
  void left(SlaveLink& link, std::uint64_t task) override;
  void unsent(SlaveLink& link, detail::TaskState& task, AttemptEnd end,
              const std::string& why) override;
  void link_progressed(SlaveLink& link) override;
  bool may_receive(SlaveLink& link) override;
  kj::Vector<proto::Object::Client> lend(detail::TaskState& task) override;
  void fill_session(proto::SessionRequest::Builder request) override;
  void taskFailed(kj::Exception&& error) override;

  void add_link(kj::Own<Connector> connector, const std::string& name);
  void joined(Connected connected);
  void move_pinned(std::uint32_t from, std::uint32_t to);
  SlaveLink* link_of(SlaveId id);
  std::string name_of(SlaveId slave) const;
  detail::TaskState* find(std::uint64_t id);

  /// Why no slave can run this program, now and later; empty: one may.
  std::string hopeless() const;
  /// Fails all tasks.
  void give_up(const std::string& why);
  /// Fails tasks for slaves whose names can never come: all slaves there are have other ones.
  void refuse_unknown_names();
  void turn_soon();
  void turn();
  void accept(detail::TaskRef task);
  void warn_of_unschedulable();
  void send_to(SlaveId slave);
  void send_batch(SlaveLink& link);
  void set_alarm();
  kj::Promise<void> watch_for_trouble();
  void warn_without_slaves();
  void warn_of_absent();
  void warn_of_absent(SlaveId slave, const std::string& what_waits);
  void look_at_waits();
  void warn_of_outlasting();

  void settle(SlaveLink& link, detail::TaskState& task, proto::Outcome::Reader outcome,
              AttemptEnd end);
  void settle_large(SlaveLink& link, detail::TaskState& task, proto::Outcome::Reader outcome);
  void command_started(SlaveLink& link, detail::TaskState& task);
  void settle_command(SlaveLink& link, detail::TaskState& task, proto::Outcome::Reader outcome);
  /// Tells the scheduler of an attempt's end. True: the caller has to deliver what came of it.
  bool conclude(SlaveLink& link, detail::TaskState& task, Duration run_time, AttemptEnd end);
  void forget_loser(SlaveLink& link, std::uint64_t task, Duration run_time, AttemptEnd end);
  struct Fetch;
  std::uint32_t& fetches_of(SlaveId slave);
  bool has_room_for_results_of(SlaveId slave);
  /// Whether results and output should stay at the slaves: callbacks, or who reads what this
  /// process prints, do not keep up. A turn follows when they do.
  bool congested();
  bool is_console_full();
  template <class Finish>
  void when_fetched(kj::Promise<void> fetched, SlaveLink& link, std::shared_ptr<Fetch> fetch,
                    Finish finish);
  void deliver(TaskId id);
  void complete(detail::TaskRef task);
  void fail(TaskId id, std::exception_ptr error);
  void ended(const std::vector<EndedTask>& tasks, const std::string& slave, const std::string& why);
  void flush_completions();

  Driver& driver_;
  kj::AsyncIoContext& io_;
  Console& console_;
  Shipment shipment_;
  Shipment python_;  ///< the program of Python sessions
  InputFiles input_files_;
  Scheduler scheduler_;
  std::vector<detail::TaskRef> tasks_;  ///< by TaskId::index
  std::vector<std::unique_ptr<SlaveLink>> links_;
  std::vector<SlaveId> id_of_;  ///< by index
  std::unordered_map<std::string, SlaveId> names_;
  std::unordered_map<std::string, JoinedSlave*> joined_;  ///< owned by their links
  kj::Maybe<kj::Own<MeetingPlace>> meeting_place_;
  std::unique_ptr<Objects> objects_;  ///< ends before the links it uses
  std::vector<detail::TaskRef> submitted_;
  std::vector<detail::TaskRef> callbacks_;
  BagTally ended_;  ///< tasks that ended without a callback
  std::vector<TaskId> batch_;
  std::vector<detail::TaskState*> sending_;
  bool turn_planned_ = false;
  unsigned quiet_looks_ = 0;
  unsigned quiet_of_absent_ = 0;
  bool said_unschedulable_ = false;
  bool held_up_before_ = false;  ///< CallbackThread::held_up, at the last look
  bool said_held_up_ = false;
  bool said_outlasting_ = false;
  bool waits_for_name_ = false;  ///< perhaps there is a task for a slave that is not there
  std::optional<Time> alarm_at_;
  kj::Promise<void> turn_promise_ = nullptr;
  kj::Promise<void> alarm_ = nullptr;
  std::map<std::uint64_t, float> fractions_;      ///< how far running tasks say they are
  std::uint64_t fetching_ = 0;                    ///< bytes of large results on their way
  std::vector<std::uint32_t> fetches_;            ///< by index of the slave: of how many attempts
  std::unordered_set<std::uint64_t> cancelling_;  ///< tasks that slaves were told to end
  bool console_is_full_ = false;
  kj::Own<kj::TaskSet> background_;
};

}  // namespace knee::driver
