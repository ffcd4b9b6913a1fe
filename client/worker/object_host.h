#pragma once
#include <capnp/capability.h>
#include <kj/async-io.h>

#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <knee/detail/object.h>

#include "client/worker/output.h"
#include "proto/object.capnp.h"

namespace knee::worker {

using ObjectCallContext = capnp::CallContext<proto::Object::CallParams, proto::Object::CallResults>;

/// The traffic of a worker in live objects: calls that come and wait for their turn, and calls to
/// objects elsewhere. At most one per process; it lives on the thread that runs the user's code.
class ObjectHost final : public kj::TaskSet::ErrorHandler {
 public:
  /// `files`: of the program, by name, as Call.file counts them.
  ObjectHost(kj::AsyncIoContext& io, std::vector<std::string> files);
  ~ObjectHost() noexcept;

  // Of others:

  /// A call that has arrived.
  struct Arrived {
    detail::ObjectRef object;  ///< null: the root
    ObjectCallContext context;
    kj::Own<kj::PromiseFulfiller<void>> done;
  };
  void arrive(Arrived call) {
    waiting_.push_back(kj::mv(call));
    wake();
  }
  bool has_calls() const { return !waiting_.empty(); }
  /// Carries out the oldest call that waits.
  void carry_out_one() { carry_out(waiting_.begin()); }
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

  /// Nobody holds anything any more, and somebody has.
  bool is_abandoned() const { return held_ == 0 && was_held_; }
  std::uint64_t objects() const { return held_ - roots_; }
  void held(bool is_root) {
    was_held_ = true;
    ++held_;
    if (is_root) ++roots_;
  }
  void let_go(bool is_root) {
    --held_;
    if (is_root) --roots_;
    if (held_ == 0) wake();
  }

  // To others:

  /// Sends a call to an object elsewhere. Throws Error::usage on any other thread.
  detail::TaskRef call(proto::Object::Client& object, const detail::Method& method,
                       detail::Bytes arguments, const std::vector<detail::ObjectRef>& objects,
                       detail::ObjectRef* returned);
  /// Whether calls were sent and not answered.
  bool expects_answers() const { return open_calls_ != 0; }
  /// What is to follow on answers that have come.
  bool has_continuations() const { return !continuations_.empty(); }
  void run_continuations();
  /// Waits, and carries out calls of this chain meanwhile. Throws Error::usage on any other thread.
  template <class Condition>
  void wait_until(Condition condition) {
    check_thread();
    collect_dropped();
    while (!condition())
      if (!carry_out_own()) something().wait(io_.waitScope);
  }

  /// As others see an object of this process, or one they gave.
  proto::Object::Client client_of(const detail::ObjectRef& object);
  /// The object itself, if it is of this process. May run the loop.
  detail::ObjectRef take(proto::Object::Client client);
  /// As an object of others, whatever it is.
  detail::ObjectRef given(proto::Object::Client client);
  /// Lets go of what others gave. Any thread.
  void drop(proto::Object::Client client);

 private:
  using Place = std::pair<std::uint32_t, std::uint64_t>;

  void check_thread() const;
  void collect_dropped();
  /// One call of this thread's chain. False: there is none.
  bool carry_out_own();
  void carry_out(std::deque<Arrived>::iterator place);
  void ended(detail::TaskState& task);
  void taskFailed(kj::Exception&&) override {}
  detail::Method::Thunk find(const Place& place);
  Place locate(const detail::Method& method);

  kj::AsyncIoContext& io_;
  const std::thread::id thread_ = std::this_thread::get_id();
  std::vector<std::string> files_;
  std::map<Place, detail::Method::Thunk> thunks_;
  std::map<const detail::Method*, Place> places_;
  capnp::CapabilityServerSet<proto::Object> held_servers_;
  std::deque<Arrived> waiting_;
  kj::Own<kj::PromiseFulfiller<void>> wake_;
  std::uint64_t held_ = 0;
  std::uint64_t roots_ = 0;
  bool was_held_ = false;
  Output output_;
  std::deque<detail::TaskRef> continuations_;
  std::uint64_t open_calls_ = 0;
  std::mutex mutex_;
  std::vector<proto::Object::Client> dropped_;  ///< by other threads
  kj::TaskSet sent_{*this};
};

}  // namespace knee::worker
