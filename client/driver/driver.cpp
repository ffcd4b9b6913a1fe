#include "driver.h"

#include <knee/error.h>

#include "client/call/call_chain.h"
#include "client/call/task_access.h"
#include "client/driver/bag_state.h"
#include "client/driver/dispatcher.h"
#include "client/driver/failure.h"
#include "client/driver/object_ref.h"

namespace knee::driver {

using namespace std::chrono_literals;
using detail::Access;

Driver::Driver(ClusterOptions options)
    : options_(std::move(options)), object_owner_(std::make_shared<ObjectOwner>(*this)) {
  loop_.run(
      [this](kj::AsyncIoContext& io) { dispatcher_ = std::make_unique<Dispatcher>(*this, io); });
  try {
    listen();
  } catch (...) {
    end_dispatcher();
    throw;
  }
}

Driver::~Driver() {
  object_owner_->leave();
  end_dispatcher();
  std::unique_lock lock(mutex_);
  attendants_left_.wait(lock, [this] { return attendants_ == 0; });
}

void Driver::end_dispatcher() {
  std::promise<void> left;
  loop_.run([this, &left](kj::AsyncIoContext&) {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    dispatcher_->submissions();
    dispatcher_.reset();
    // What slaves had of this driver is let go of in turns of the loop that follow, and ends on the
    // callback thread, which must still be there.
    kj::evalLast([&left] { left.set_value(); }).detach([](kj::Exception&&) {});
  });
  left.get_future().get();
}

template <class Question>
void Driver::ask(Question question) {
  loop_.run([&](kj::AsyncIoContext&) {
    if (dispatcher_) question(*dispatcher_);
  });
}

template <class Result, class Question>
Result Driver::answer_of(Question question) {
  auto answer = std::make_shared<std::promise<Result>>();
  auto answered = answer->get_future();
  ask([&](Dispatcher& dispatcher) { question(dispatcher, std::move(answer)); });
  answer = nullptr;
  try {
    return answered.get();
  } catch (const std::future_error&) {  // nobody is left who would give it
    return {};
  }
}

void Driver::listen() {
  if (options_.listen.empty()) return;
  std::promise<void> begun;
  ask([&begun](Dispatcher& dispatcher) {
    dispatcher.keep(dispatcher.listen().then(
        [&begun] { begun.set_value(); },
        [&begun](kj::Exception&& error) {
          begun.set_exception(std::make_exception_ptr(
              Error(Error::Kind::setup, "cannot wait for slaves: " + rpc::text_of(error) +
                                            "; --knee-listen (ClusterOptions::listen) may name "
                                            "another address")));
        }));
  });
  begun.get_future().get();
}

void Driver::submit(detail::TaskRef task) {
  bool first = false;
  bool alone = false;
  {
    std::unique_lock lock(mutex_);
    if (over_) {
      lock.unlock();
      return refuse(std::move(task));
    }
    first = submissions_.empty();
    submissions_.push_back(std::move(task));
    alone = ++submitted_ == ended_.load(std::memory_order_relaxed) + 1;
  }
  if (!first) return;
  rpc::RpcLoop::Job job = [this](kj::AsyncIoContext&) {
    if (dispatcher_) dispatcher_->submissions();
  };
  if (alone)
    loop_.post_here(std::move(job));
  else
    loop_.post(std::move(job));
}

std::uint64_t Driver::outstanding() {
  const std::lock_guard lock(mutex_);
  return submitted_ - ended_.load(std::memory_order_relaxed);
}

void Driver::attend(const detail::TaskState& task) {
  if (outstanding() != 1) return;
  loop_.run_until([&task] { return task.done(); }, [this] { return outstanding() == 0; });
}

void Driver::wait_in_callback(const detail::TaskState& task, detail::Deadline deadline) {
  const bool takes_a_slot = task.kind != detail::TaskState::Kind::method;
  if (takes_a_slot && deadline == detail::kNever && callbacks_.is_waited_for()) {
    loop_.post([this, awaited = std::make_shared<detail::TaskRef>(Access::share(
                          const_cast<detail::TaskState&>(task)))](kj::AsyncIoContext&) {
      if (!dispatcher_) return;
      dispatcher_->submissions();  // it may be one of them
      dispatcher_->start_awaited(**awaited);
    });
  }
  callbacks_.wait_until(task, detail::current_chain(), chain_of(task), deadline);
}

void Driver::expect_attendant() {
  {
    const std::lock_guard lock(mutex_);
    ++attendants_;
  }
  loop_.post([](kj::AsyncIoContext&) {});  // it looks at the task then
}

void Driver::attendant_left() {
  const std::lock_guard lock(mutex_);
  --attendants_;
  attendants_left_.notify_all();
}

/// Here and now: the callback thread, which most likely this is, ends when it finds nothing to do.
void Driver::refuse(detail::TaskRef task) {
  const auto error = cancelled_error(*task);
  Access::set_error(*task, error);
  {
    BagTally ended;
    std::vector<detail::TaskRef> callbacks;
    complete(std::move(task), callbacks, ended);
    callbacks_.post(callbacks);
  }
  if (callbacks_.has_ended_long_ago()) std::rethrow_exception(error);
}

void Driver::take_submissions(std::vector<detail::TaskRef>& into) {
  const std::lock_guard lock(mutex_);
  into.swap(submissions_);
}

void Driver::cancel(detail::TaskState& task) {
  auto kept = std::make_shared<detail::TaskRef>(Access::share(task));
  loop_.post([this, kept](kj::AsyncIoContext&) {
    if (dispatcher_ == nullptr) return;
    dispatcher_->submissions();  // it may not have arrived yet
    if ((*kept)->kind == detail::TaskState::Kind::method)
      dispatcher_->objects().cancel(**kept);
    else
      dispatcher_->cancel((*kept)->id);
  });
}

void Driver::signal(detail::TaskState& task, int number) {
  auto kept = std::make_shared<detail::TaskRef>(Access::share(task));
  loop_.post([this, kept, number](kj::AsyncIoContext&) {
    if (dispatcher_ == nullptr) return;
    dispatcher_->submissions();  // it may not have arrived yet
    dispatcher_->signal((*kept)->id, number);
  });
}

void Driver::cancel(detail::BagState& bag) {
  ask([&bag](Dispatcher& dispatcher) {
    dispatcher.submissions();
    dispatcher.cancel_bag(&bag);
  });
}

std::uint32_t Driver::slave_index(const std::string& name) {
  std::uint32_t index = 0;
  ask([&](Dispatcher& dispatcher) { index = dispatcher.slave_index(name); });
  return index;
}

std::vector<std::string> Driver::slave_names() {
  std::vector<std::string> names;
  ask([&](Dispatcher& dispatcher) { names = dispatcher.slave_names(); });
  return names;
}

unsigned Driver::slots() {
  unsigned slots = 0;
  ask([&](Dispatcher& dispatcher) { slots = dispatcher.slots(); });
  return slots;
}

void Driver::objects_dropped() {
  loop_.post([this](kj::AsyncIoContext&) {
    const auto dropped = object_owner_->take_dropped();
    if (dispatcher_ == nullptr) return;
    dispatcher_->submissions();  // the calls that make them may not have arrived yet
    dispatcher_->objects().drop(dropped);
  });
}

void Driver::interrupt_home(std::uint64_t object, detail::ObjectRef reference) {
  loop_.post([this, object, reference](kj::AsyncIoContext&) {
    if (dispatcher_ == nullptr) return;
    dispatcher_->submissions();  // what is to be interrupted may not have been sent yet
    dispatcher_->objects().interrupt(object);
  });
}

void Driver::end_home(std::uint64_t object, detail::ObjectRef reference) {
  loop_.post([this, object, reference](kj::AsyncIoContext&) {
    if (dispatcher_ == nullptr) return;
    dispatcher_->submissions();
    dispatcher_->objects().end(object);
  });
}

std::uint64_t Driver::count_objects(std::uint32_t slave) {
  return answer_of<std::uint64_t>([slave](Dispatcher& dispatcher, Answer<std::uint64_t> counted) {
    dispatcher.submissions();
    dispatcher.keep(dispatcher.objects().count(slave).then(
        [counted](std::uint64_t count) { counted->set_value(count); },
        [counted](kj::Exception&&) { counted->set_value(0); }));
  });
}

std::vector<SlaveInfo> Driver::describe(std::optional<std::uint32_t> index,
                                        std::chrono::nanoseconds patience) {
  using Infos = std::vector<SlaveInfo>;
  return answer_of<Infos>([&](Dispatcher& dispatcher, Answer<Infos> described) {
    dispatcher.keep(
        dispatcher.survey_all(index, patience).then([described](std::shared_ptr<Infos> all) {
          described->set_value(std::move(*all));
        }));
  });
}

void Driver::wait(detail::BagState& bag) {
  if (callbacks_.is_here() && bag.outstanding.load() != 0)
    throw Error(Error::Kind::usage,
                "bag.wait() was called from a callback: it would wait for that callback itself");
  Progress progress = progress_of(bag);
  while (!bag.wait_for(progress.interval()))
    progress.show(standing(), std::chrono::steady_clock::now());
  progress.finish();
  bag.rethrow();
}

Standing Driver::standing() {
  Standing standing;
  ask([&](Dispatcher& dispatcher) { standing = dispatcher.standing(); });
  return standing;
}

void Driver::callback_blocks() {
  ++callbacks_blocked_;
  resume();
}

void Driver::pause_callbacks() {
  callbacks_.pause();
  resume();
}

void Driver::resume() {
  loop_.post([this](kj::AsyncIoContext&) {
    if (dispatcher_) dispatcher_->resume();
  });
}

}  // namespace knee::driver
