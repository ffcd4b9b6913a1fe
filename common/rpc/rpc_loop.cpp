#include "rpc_loop.h"

#include <kj/async-unix.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <chrono>
#include <exception>
#include <future>
#include <optional>
#include <string_view>

#include "common/base/check.h"
#include "common/rpc/low_level_io.h"

namespace knee::rpc {

namespace {

/// After this time without a borrower the loop's own thread takes over again; it looks once in that
/// time. What a borrower has left, and what a task that is sent and not waited for leads to, can
/// come so much later (at most twice this), and only once.
constexpr auto kLease = std::chrono::milliseconds(1);

kj::AsyncIoContext context_of(kj::UnixEventPort& port, kj::WaitScope& scope) {
  auto low_level = kj::heap<LowLevelIo>(port);
  auto provider = kj::newAsyncIoProvider(*low_level);
  return {kj::mv(low_level), kj::mv(provider), scope, port};
}

/// Binds the loop to the calling thread; none if that has a KJ loop already.
void enter(kj::EventLoop& loop, std::optional<kj::WaitScope>& scope) {
  try {
    scope.emplace(loop);
  } catch (const kj::Exception&) {
    scope.reset();
  }
}

bool remove_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// KJ_REQUIRE(size > 0, "no size") says "expected size > 0; no size".
bool remove_condition(std::string_view& text) {
  const auto end = text.find("; ");
  if (!text.starts_with("expected ") || end == text.npos) return false;
  text.remove_prefix(end + 2);
  return true;
}

}  // namespace

/// Not of kj::setupAsyncIo, whose loop is bound to the thread that has called it.
struct RpcLoop::Core {
  explicit Core(int bell_fd) : bell(port, bell_fd, kj::UnixEventPort::FdObserver::OBSERVE_READ) {}

  kj::UnixEventPort port;
  kj::EventLoop loop{port};
  std::optional<kj::WaitScope> own_scope{std::in_place, loop};  ///< while the own thread runs it
  kj::AsyncIoContext io = context_of(port, *own_scope);
  kj::UnixEventPort::FdObserver bell;
  kj::Own<kj::PromiseFulfiller<void>> inner_bell;  ///< for who runs turns: costs no system calls
};

RpcLoop::RpcLoop()
    : bell_(check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "cannot make an eventfd")) {
  // Signals belong to the program's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::promise<void> started;
  thread_ = std::thread([this, &started] {
    pthread_setname_np(pthread_self(), "knee-rpc");
    Core core(bell_.get());
    core_ = &core;
    started.set_value();
    serve();
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  started.get_future().wait();
}

RpcLoop::~RpcLoop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    ring();
  }
  thread_.join();
}

// --- jobs

void RpcLoop::post(Job job) {
  const std::lock_guard lock(mutex_);
  jobs_.push_back(std::move(job));
  if (jobs_.size() == 1) ring();
}

void RpcLoop::ring() {
  if (lent_ && !borrowed_) {
    recalled_ = true;
    returned_.notify_one();
  } else if (runner_ == std::this_thread::get_id()) {
    core_->inner_bell->fulfill();
  } else {
    ::eventfd_write(bell_.get(), 1);
  }
}

void RpcLoop::post_here(Job job) noexcept {
  std::optional<kj::WaitScope> scope;
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    if (jobs_.size() > 1) return;
    if (lent_ && !borrowed_ && !recalled_) enter(core_->loop, scope);
    if (!scope) return ring();
    borrowed_ = true;
  }
  take_jobs();
  core_->loop.run();
  scope.reset();
  give_back(false);
}

void RpcLoop::run(Job job) {
  std::promise<void> done;
  post([&job, &done](kj::AsyncIoContext& io) {
    try {
      job(io);
      done.set_value();
    } catch (...) {
      done.set_exception(std::current_exception());
    }
  });
  done.get_future().get();
}

void RpcLoop::take_jobs() {
  std::vector<Job> jobs;
  {
    const std::lock_guard lock(mutex_);
    jobs.swap(jobs_);
  }
  for (auto& job : jobs) job(core_->io);
}

// --- the loop's own thread

void RpcLoop::serve() {
  for (;;) {
    run_turns(*core_->own_scope, [this] {
      const std::lock_guard lock(mutex_);
      return borrowed_ || (stopping_ && jobs_.empty());
    });
    {
      const std::lock_guard lock(mutex_);
      if (!borrowed_) return;
    }
    core_->own_scope.reset();
    lend();
    core_->own_scope.emplace(core_->loop);
  }
}

void RpcLoop::lend() {
  std::unique_lock lock(mutex_);
  lent_ = true;
  lent_out_.notify_one();
  do {
    if (borrowed_ && !used_) {
      // A long wait: no need to look again and again.
      dozing_ = true;
      returned_.wait(lock, [this] { return !borrowed_; });
      dozing_ = false;
    }
    used_ = false;
    returned_.wait_for(lock, kLease, [this] { return recalled_ && !borrowed_; });
  } while (borrowed_ || (used_ && !recalled_));
  lent_ = false;
  recalled_ = false;
}

void RpcLoop::run_turns(kj::WaitScope& scope, const Condition& done) {
  const auto set_runner = [this](std::thread::id runner) {
    const std::lock_guard lock(mutex_);
    runner_ = runner;
  };
  set_runner(std::this_thread::get_id());
  for (;;) {
    // Asked for first, so that nothing is missed. Edge-triggered: every write to the eventfd is an
    // edge, so it needs no reading.
    auto inner = kj::newPromiseAndFulfiller<void>();
    core_->inner_bell = kj::mv(inner.fulfiller);
    auto rung = core_->bell.whenBecomesReadable().exclusiveJoin(kj::mv(inner.promise));
    take_jobs();
    if (done()) break;
    rung.wait(scope);
  }
  set_runner({});
}

// --- borrowing

bool RpcLoop::run_until(const Condition& done, const Condition& idle) noexcept {
  std::optional<kj::WaitScope> scope;
  enter(core_->loop, scope);
  if (!scope) return false;
  {
    std::unique_lock lock(mutex_);
    if (borrowed_ || stopping_) return false;
    borrowed_ = true;
    if (!lent_) ::eventfd_write(bell_.get(), 1);
    lent_out_.wait(lock, [this] { return lent_; });
  }
  run_turns(*scope, done);
  scope.reset();
  give_back(!idle());
  return true;
}

void RpcLoop::give_back(bool at_once) {
  const std::lock_guard lock(mutex_);
  borrowed_ = false;
  used_ = true;
  recalled_ = recalled_ || at_once || stopping_ || !jobs_.empty();
  if (recalled_ || dozing_) returned_.notify_one();
}

std::string text_of(const kj::Exception& error) {
  std::string_view text(error.getDescription().cStr(), error.getDescription().size());
  while (remove_prefix(text, "remote exception: ") || remove_prefix(text, "std::exception: ") ||
         remove_condition(text)) {
  }
  return std::string(text);
}

kj::Exception failure(const std::string& text) {
  return {kj::Exception::Type::FAILED, "", 0, kj::heapString(text.c_str())};
}

}  // namespace knee::rpc
