#pragma once
#include <capnp/capability.h>
#include <kj/async-io.h>

#include <array>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <knee/detail/object.h>

#include "client/call/call_wire.h"
#include "client/call/returned_object.h"
#include "client/call/use_wire.h"
#include "client/driver/callback_thread.h"
#include "client/driver/circles.h"
#include "client/driver/offered_object.h"
#include "client/driver/shipment.h"
#include "proto/object.capnp.h"
#include "proto/slave.capnp.h"

namespace knee::driver {

class SlaveLink;

/// What a call is on.
struct Target {
  static constexpr std::uint64_t kRoot = 0;
  std::uint64_t object = kRoot;  ///< id; kRoot: the root of a process on the slave
  std::uint32_t slave = 0;   ///< index of the one on which the object, or what made it, was made
  std::uint64_t place = 0;   ///< number of the Placement it was made with
  bool restartable = false;  ///< a root: what it makes may be made again
};

/// What a task that is a call on an object has beside other tasks.
struct ObjectCall {
  const detail::Method* method = nullptr;
  Target target{};
  std::uint64_t returned = 0;  ///< id of the object that the call returns; 0: it returns none
  detail::CallIdentity identity{};
  std::vector<detail::ObjectRef> objects{};  ///< what the arguments refer to
  std::shared_ptr<detail::Use> use{};        ///< in place of `method`: a use by names
  bool opens_python = false;                 ///< in place of both: a new session

  /// For messages.
  std::string label() const;
};

/// Of a task of the kind `method`.
ObjectCall& object_call(detail::TaskState& task);
/// What keeps alive what the task's arguments refer to of this process: it has ended, and needs it
/// no more. Null: there is nothing.
std::shared_ptr<const void> take_arguments_of(detail::TaskState& task);
/// The chain that a task belongs to; 0: none.
std::uint64_t chain_of(const detail::TaskState& task);

/// The objects of this driver's references, and the calls on them. Lives on the RPC loop.
class Objects final : public kj::TaskSet::ErrorHandler {
 public:
  struct Surroundings {
    /// Null: no slave of that index has come.
    std::function<SlaveLink*(std::uint32_t index)> link;
    /// The index of the same slave that does not change any more, if that is known already.
    std::function<std::uint32_t(std::uint32_t index)> settled;
    /// The call's task has its result or its error.
    std::function<void(detail::TaskRef)> complete;
    /// Runs that on the callback thread, for whoever called. Outlives this: what was offered to
    /// others is let go of by that.
    std::function<void(const Caller&, std::function<void()>)> run;
    /// Throws, in words, if that is a reference of another driver in this process.
    std::function<void(const detail::ObjectRef&)> check;
    /// Fails a task that is no call on an object.
    std::function<void(detail::TaskState&, std::exception_ptr why)> fail;
    /// What the callback thread waits for, and what waits for it.
    std::function<CallbackThread::HeldUp()> held_up;
    /// A new reference to an object on a slave, and its id.
    std::function<std::pair<detail::ObjectRef, std::uint64_t>(std::uint32_t slave)> new_reference;
  };
  /// `python`: the program of Python sessions. Destruction cancels all calls; those of others on
  /// what was offered to them fail.
  Objects(kj::Timer& timer, Shipment& shipment, Shipment& python, Surroundings surroundings);
  ~Objects();

  /// Sends a call off, or keeps it until its slave is there. True: it waits for that.
  bool start(detail::TaskRef task);
  /// A call that has not begun never does; of one that has, nothing comes back. `why`: its error;
  /// null: that it was cancelled.
  void cancel(const detail::TaskState& task, std::exception_ptr why = nullptr);
  /// Of their processes and of tasks that have objects.
  Circles& circles() { return circles_; }
  /// Whether calls were sent and not answered.
  bool expects_answers() const { return !open_.empty(); }
  void drop(const std::vector<std::uint64_t>& ids);
  /// As others see objects: those of this driver, or those that references refer to.
  /// `holds`: of the loan that one of this driver is a part of; null: it is none. Throws why the
  /// object could not be made.
  proto::Object::Client client_of(const detail::ObjectRef& object, Holds holds = nullptr);
  /// How many live on that slave.
  kj::Promise<std::uint64_t> count(std::uint32_t slave);
  /// The process that an object lives in: interrupts it, or ends it.
  void interrupt(std::uint64_t object);
  void end(std::uint64_t object);

  /// Fails calls that wait for a slave: for one of that index, or for any.
  void give_up(std::optional<std::uint32_t> slave,
               const std::function<std::exception_ptr(const detail::TaskState&)>& error);
  /// Whether calls wait for that slave.
  bool waits_for(std::uint32_t slave) const;
  /// How many, by the slave's index; those for which none wait are not there.
  std::map<std::uint32_t, std::uint64_t> waiting() const;

  /// The slave of index `from` has turned out to be that of index `to`.
  void move(std::uint32_t from, std::uint32_t to);

  /// The slave has a session now.
  void link_up(std::uint32_t slave);
  /// Its session is gone, and all that lived there.
  void link_down(std::uint32_t slave);

 private:
  /// A process of a slave that objects live in.
  struct Home final : Waiter {
    Home(proto::Home::Client given, std::uint32_t slave_index, std::string slave_name,
         bool is_python);

    kj::Promise<Wait> wait() override;
    kj::Promise<void> refuse(std::uint64_t call, const char* why) override;
    bool is_over() const override { return over; }
    std::string slave_name() const override { return slave; }

    proto::Home::Client client;
    std::uint32_t index;  ///< of its slave
    std::string slave;
    bool python;
    std::size_t objects = 0;  ///< that references refer to
    bool over = false;        ///< it has ended, never was, or its slave is gone
    /// How it ended, once that is known.
    kj::Maybe<kj::Own<capnp::Response<proto::Home::EndedResults>>> outcome;
    kj::ForkedPromise<void> ended;
  };
  /// In which process objects are made: the slave's index, and the number of a Placement.
  using Place = std::pair<std::uint32_t, std::uint64_t>;
  /// An object to come, as an argument.
  struct Promised {
    kj::Own<kj::PromiseFulfiller<proto::Object::Client>> fulfiller;
    proto::Object::Client client;
  };
  /// How an object is made again.
  struct Maker {
    const detail::Method* method;
    detail::Arguments arguments;
    std::vector<detail::ObjectRef> objects;
  };
  /// An object that a reference refers to.
  struct Entry {
    Place place{};
    std::shared_ptr<Home> home;
    kj::Maybe<proto::Object::Client> client;      ///< none: what makes it was not sent yet
    kj::Maybe<Promised> promised;                 ///< what it was given to as, before
    std::shared_ptr<std::exception_ptr> problem;  ///< why it could not be made
    std::shared_ptr<const Maker> maker;           ///< null: it is not made again
    std::uint32_t awaited = 0;                    ///< by calls that wait for the slave
    bool dropped = false;                         ///< but for those it would be gone
  };

  /// The process there, once something has been made in it.
  struct Root {
    std::shared_ptr<Home> home;
    kj::Maybe<proto::Object::Client> object;
    std::vector<detail::TaskRef> waiting;  ///< in order, until the slave is there
  };

  /// A call that was sent.
  struct Open {
    detail::TaskRef task;
    std::shared_ptr<Home> home;
    std::uint32_t slave = 0;
    std::shared_ptr<std::exception_ptr> object_problem;
    std::shared_ptr<std::exception_ptr> returned_problem;
    kj::Own<kj::Canceler> canceler = kj::heap<kj::Canceler>();
    std::exception_ptr cancelled{};        ///< its error then
    bool answered = false;                 ///< it has ended there; what it gave is on its way
    std::uint64_t object = Target::kRoot;  ///< id of what it is on
    std::uint64_t returned = 0;            ///< id of what it returns
    /// Of calls on what it returns that have failed before it.
    std::vector<kj::Own<kj::PromiseFulfiller<void>>> followers;
    std::list<Open>::iterator self{};

    /// For messages; empty: not known.
    std::string slave_name() const;
  };

  struct Answer;

  void taskFailed(kj::Exception&& error) override;
  /// The process that carries out the calls of that chain; null: none does, or several do.
  std::shared_ptr<Home> home_of_chain(std::uint64_t chain) const;
  /// The object itself, if it is of this driver; else a new reference. `home`: may be null.
  kj::Promise<detail::ObjectRef> hold(proto::Object::Client object, std::shared_ptr<Home> home);
  Home* home_of(std::uint64_t object);
  bool has_session(std::uint32_t slave) const;
  /// Its process is gone.
  void close(const Place& place);
  /// The roots of one slave.
  std::vector<Place> places_on(std::uint32_t slave) const;
  void send(detail::TaskRef task);
  /// Sends a call.
  capnp::RemotePromise<proto::Object::CallResults> request(
      proto::Object::Client& object, const detail::Method& method,
      const detail::Arguments& arguments, const std::vector<detail::ObjectRef>& objects,
      const detail::CallIdentity& identity);
  /// Opens the process of a place if there is none.
  Root& open_root(const Place& place);
  /// The object is gone with its process, and `task` calls it.
  void make_again(Entry& entry, const detail::TaskRef& task);
  /// The same of an argument, for which no call of its own says why it failed.
  void make_again(Entry& entry);
  /// Keeps a call until its slave is there, and with it the objects that it needs ...
  void wait(Root& root, detail::TaskRef task);
  /// ... which it does not any more: it has been sent,
  void waited_for(const std::array<std::uint64_t, 2>& objects);
  /// or never will be.
  void drop_waiting(detail::TaskRef task, const std::exception_ptr& why);
  /// Lets go of it on the callback thread: what the user's functions hold ends where they run.
  void end_later(std::shared_ptr<const void> what);
  /// Nobody refers to the object any more.
  void forget(std::uint64_t id);
  /// The object that a call was to return will not be.
  void break_promise(const detail::TaskState& task, const std::exception_ptr& error);
  void send_call(Open& call, proto::Object::Client object, const ObjectCall& what);
  static kj::Promise<Answer> read_answer(capnp::Response<proto::Object::CallResults> response);
  void answered(Open& call, Answer answer);
  void send_use(Open& call, proto::Object::Client object, const ObjectCall& what);
  void answered(Open& call, detail::UseAnswer answer);
  void open_python(Open& call, const ObjectCall& what);
  /// What a call returns is on its way.
  void made(std::uint64_t returned, proto::Object::Client object,
            const std::shared_ptr<Home>& home);
  /// That of an entry, for those too who were given it before.
  void came(Entry& entry, proto::Object::Client object, const std::shared_ptr<Home>& home);
  /// The same of a call that was just sent: its answer.
  template <class Results>
  kj::Promise<capnp::Response<Results>> made_by(const ObjectCall& call,
                                                const std::shared_ptr<Home>& home,
                                                capnp::RemotePromise<Results> sent);
  void fail_by_failure(Open& call, proto::Failure::Reader failure);
  kj::Promise<void> broken(Open& call, const kj::Exception& error);
  void fail(Open& call, std::exception_ptr error);
  void finish(Open& call);

  kj::Timer& timer_;
  Shipment& shipment_;
  Shipment& python_;
  Surroundings surroundings_;
  detail::ObjectDoors doors_;
  std::shared_ptr<OfferedObject::Surroundings> offering_;  ///< shared with what was offered
  capnp::CapabilityServerSet<proto::Object> offered_;
  std::unordered_map<std::uint64_t, Entry> entries_;
  std::map<Place, Root> roots_;
  std::unordered_map<const detail::Method*, Shipment::Place> functions_;
  std::list<Open> open_;                             ///< calls that were sent and have no answer
  std::unordered_map<std::uint64_t, Open*> makers_;  ///< those of `open_` by what they return
  std::optional<std::uint32_t> last_slave_{};        ///< of the last call
  bool on_several_slaves_ = false;                   ///< there have been calls
  /// An object may have been given to where it does not live, and so come back from there.
  bool lent_away_ = false;
  /// Shared with the functions that others have: what these return may lead to such an object.
  std::shared_ptr<const void> functions_out_ = std::make_shared<char>();
  Circles circles_;
  kj::Own<kj::TaskSet> calls_;
};

template <class Results>
kj::Promise<capnp::Response<Results>> Objects::made_by(const ObjectCall& call,
                                                       const std::shared_ptr<Home>& home,
                                                       capnp::RemotePromise<Results> sent) {
  // What a process makes lives in it, and so does what Python gives for the next use.
  const bool is_there = call.target.object == Target::kRoot || (home && home->python);
  const bool may_be_elsewhere = (lent_away_ || functions_out_.use_count() > 1) && !is_there;
  if (call.returned == 0 || !may_be_elsewhere) {
    made(call.returned, sent.getObject(), home);
    return kj::mv(sent);
  }
  auto [object, answer] = detail::returned_with_answer(kj::mv(sent));
  made(call.returned, kj::mv(object), home);
  return kj::mv(answer);
}

}  // namespace knee::driver
