#pragma once
#include <capnp/capability.h>
#include <kj/async-io.h>
#include <kj/function.h>

#include <chrono>
#include <deque>
#include <exception>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <knee/detail/object.h>
#include <knee/error.h>

#include "client/call/call_wire.h"
#include "client/call/use_wire.h"
#include "client/worker/drops.h"
#include "client/worker/output.h"
#include "common/base/affinity.h"
#include "common/channel/spin_policy.h"
#include "proto/object.capnp.h"

namespace knee::worker {

using ObjectCallContext = capnp::CallContext<proto::Object::CallParams, proto::Object::CallResults>;
using detail::UseContext;

/// The call to others that the host's thread waited for was given up.
class Interrupted final : public std::exception {
 public:
  const char* what() const noexcept override { return "interrupted"; }
};
/// Makes the call to others that the host's thread waits for throw Interrupted, if it watches for
/// that; nothing happens if it waits for none. For signal handlers too.
void interrupt_waiting() noexcept;

/// The traffic of a worker in live objects: calls that come and wait for their turn, and calls to
/// objects elsewhere. At most one per process; it lives on the thread that runs the user's code.
class ObjectHost final : public kj::TaskSet::ErrorHandler {
 public:
  /// `files`: of the program, by name, as Call.file counts them.
  ObjectHost(kj::AsyncIoContext& io, std::vector<std::string> files);
  ~ObjectHost() noexcept;

  // Of others:

  /// A call on an object has arrived; null: on the root. Resolves when it was carried out, in its
  /// turn.
  kj::Promise<void> arrive(detail::ObjectRef object, ObjectCallContext context);
  kj::Promise<void> arrive(detail::ObjectRef object, UseContext context);
  /// Carries out the oldest call that can be. False: there is none.
  bool carry_out_one();
  /// Those that wait are not carried out any more.
  void forget_calls() { waiting_.clear(); }
  /// Resolves when there is a call, an answer, or the last holder is gone.
  kj::Promise<void> something() {
    auto paf = kj::newPromiseAndFulfiller<void>();
    wake_ = kj::mv(paf.fulfiller);
    return kj::mv(paf.promise);
  }
  void wake() {
    if (wake_.get() != nullptr && wake_->isWaiting()) wake_->fulfill();
  }

  /// Runs the loop until that resolves; looks for what comes for a moment before it sleeps.
  void wait_for_event(kj::Promise<void> event);

  /// Nobody holds anything any more, and somebody has.
  bool is_abandoned() const { return held_ == 0 && was_held_; }
  /// How many others hold, when those that nobody holds have ended.
  kj::Promise<std::uint64_t> count();
  /// Resolves when all calls that have arrived so far have come to their end, with those that were
  /// sent on what they return.
  kj::Promise<void> finish();
  /// As ObjectHost.waits (worker.capnp).
  struct Wait {
    std::uint64_t call = 0;
    std::vector<std::uint64_t> behind;
    std::vector<std::uint64_t> within;

    /// Into the results of `waits`, of whichever interface.
    template <class Results>
    void write(Results results) const {
      results.setCall(call);
      results.setBehind(kj::arrayPtr(behind.data(), behind.size()));
      results.setWithin(kj::arrayPtr(within.data(), within.size()));
    }
  };
  Wait waits() const;
  /// As ObjectHost.refuse (worker.capnp).
  void refuse(std::uint64_t number, const char* why);
  void held(bool is_root) {
    was_held_ = true;
    ++held_;
    if (is_root) ++roots_;
  }
  void let_go(detail::ObjectRef object, bool is_root);
  /// Ends what nobody holds any more. Outside of all events.
  void collect_dropped();

  // To others:

  /// Sends a call to an object elsewhere. Throws Error::usage on any other thread.
  detail::TaskRef call(proto::Object::Client& object, const detail::Method& method,
                       detail::Bytes arguments, const std::vector<detail::ObjectRef>& objects,
                       detail::ObjectRef* returned);
  /// The same by names.
  detail::TaskRef use(proto::Object::Client& object, const detail::Use& use,
                      detail::ObjectRef* returned);
  /// Whether calls were sent and not answered.
  bool expects_answers() const { return !open_calls_.empty(); }
  /// Waits until there are none, as `wait_until`.
  void wait_for_answers();
  /// What is to follow on answers that have come.
  bool has_continuations() const { return !continuations_.empty(); }
  void run_continuations();
  /// Waits for what `call` or `use` gave, as `wait_until`.
  void wait_for(detail::TaskState& task, detail::Deadline deadline);
  /// Waits for that, until then at most, and carries out calls of this chain meanwhile. Throws
  /// Error::usage on any other thread.
  template <class Condition>
  void wait_until(Condition condition, detail::Deadline deadline = detail::kNever) {
    check_thread();
    collect_dropped();
    if (waits_ == kDeepest)
      throw Error(Error::Kind::usage, "calls are nested too deep: each waits for the next");
    const Waiting waiting(*this);
    while (!condition()) {
      if (std::exchange(interrupted_, false)) throw Interrupted();
      if (carry_out_own()) continue;
      if (std::chrono::steady_clock::now() >= deadline) return;
      wait_for_event(something_until(deadline));
      collect_dropped();
    }
  }
  /// From now on `interrupt_waiting` is heard.
  void watch_interrupts();

  /// As others see an object of this process, or one they gave.
  proto::Object::Client client_of(const detail::ObjectRef& object);
  /// As others see the root; null: one that is nothing.
  proto::Object::Client root(const detail::ObjectRef& object);
  /// The object itself, if it is of this process. May run the loop.
  detail::ObjectRef take(proto::Object::Client client);
  /// As an object of others, whatever it is.
  detail::ObjectRef given(proto::Object::Client client);

 private:
  /// Of calls that wait, on one stack.
  static constexpr unsigned kDeepest = 200;

  /// Calls that arrived between two `end_of_round`. The promise of each holds it, and each round
  /// those after it.
  struct Round {
    kj::Own<kj::PromiseFulfiller<void>> finished;
    std::shared_ptr<Round> next{};
    ~Round() {
      if (finished.get() != nullptr) finished->fulfill();
    }
  };
  /// What has arrived.
  struct Arrived {
    const detail::Object* object;  ///< null: the root that is nothing
    detail::CallIdentity identity;
    kj::Function<void(Arrived&)> carry_out;  ///< throws nothing
    kj::Own<kj::PromiseFulfiller<void>> done;
    std::shared_ptr<kj::Canceler> given_up;  ///< cancelled when nobody wants it any more
    std::weak_ptr<Round> round;              ///< there as long as the call is wanted
    bool ready;            ///< it is known what it refers to, which may be what a later call gives
    std::string broken{};  ///< why something that it refers to will never be
    kj::Promise<void> awaited = nullptr;
  };
  /// While it lives, the thread waits.
  class Waiting {
   public:
    explicit Waiting(ObjectHost& host);
    ~Waiting() { --host_.waits_; }
    Waiting(const Waiting&) = delete;

   private:
    ObjectHost& host_;
  };

  kj::Promise<void> arrive(const detail::Object* object, const detail::CallIdentity& identity,
                           capnp::List<proto::Object>::Reader arguments,
                           kj::Function<void(Arrived&)> carry_out);
  /// Before which of those that wait it belongs.
  std::list<Arrived>::iterator place_of(const detail::CallIdentity& identity);
  template <class Of>
  std::list<Arrived>::iterator next(Of of_those);
  void carry_out(const detail::ObjectRef& object, ObjectCallContext& context, Arrived& call);
  void carry_out(const detail::ObjectRef& object, UseContext& context, Arrived& call);
  kj::Promise<void> something_until(detail::Deadline deadline);
  kj::Promise<void> watch_for_interrupt();
  kj::Promise<void> watch_for_drops();
  kj::Promise<void> end_of_round();
  kj::Promise<detail::ObjectRef> hold(proto::Object::Client client);
  void fail(detail::TaskState& task, const kj::Exception& error);
  template <class Condition>
  void wait_for(std::uint64_t call, Condition condition, detail::Deadline deadline);

  void check_thread() const;
  void pass_on_output();
  /// One call of this thread's chain. False: there is none.
  bool carry_out_own();
  void carry_out(std::list<Arrived>::iterator place);
  void ended(detail::TaskState& task);
  void taskFailed(kj::Exception&&) override {}
  detail::Method::Thunk find(const detail::CallPlace& place);
  detail::CallPlace locate(const detail::Method& method);

  kj::AsyncIoContext& io_;
  const std::thread::id thread_ = std::this_thread::get_id();
  std::vector<std::string> files_;
  std::map<detail::CallPlace, detail::Method::Thunk> thunks_;
  std::map<const detail::Method*, detail::CallPlace> places_;
  capnp::CapabilityServerSet<proto::Object> held_servers_;
  std::shared_ptr<Round> round_ = std::make_shared<Round>();
  std::list<Arrived> waiting_;
  kj::Own<kj::PromiseFulfiller<void>> wake_;
  std::uint64_t held_ = 0;
  std::uint64_t roots_ = 0;
  bool was_held_ = false;
  Output output_;
  std::deque<detail::TaskRef> continuations_;
  std::set<std::uint64_t> open_calls_;       ///< numbers of those that were sent and not answered
  std::shared_ptr<Drops> drops_;             ///< what other threads let go of
  std::vector<detail::ObjectRef> released_;  ///< by others
  kj::Vector<kj::Own<kj::PromiseFulfiller<std::uint64_t>>> counting_;
  std::uint64_t arrived_ = 0;
  std::uint64_t waited_ = 0;  ///< number of the call that is waited for without a limit; 0: none
  unsigned waits_ = 0;        ///< how many, on the stack
  std::vector<std::uint64_t> within_;  ///< numbers of the calls that are carried out, on the stack
  bool interrupted_ = false;           ///< the innermost of them is to throw
  channel::SpinPolicy spin_{allowed_cores()};
  kj::Promise<void> interrupts_ = nullptr;
  kj::Promise<void> drop_watch_ = nullptr;
  detail::ObjectDoors doors_{
      .hold = [this](proto::Object::Client client) { return hold(kj::mv(client)); },
      .offer = [this](const detail::ObjectRef& object) { return client_of(object); }};
  kj::TaskSet sent_{*this};
};

}  // namespace knee::worker
