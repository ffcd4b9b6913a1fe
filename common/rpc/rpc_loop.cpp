#include "rpc_loop.h"

#include <kj/async-unix.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <exception>
#include <future>

#include "common/base/check.h"

namespace knee::rpc {

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
    auto io = kj::setupAsyncIo();
    kj::UnixEventPort::FdObserver observer(io.unixEventPort, bell_.get(),
                                           kj::UnixEventPort::FdObserver::OBSERVE_READ);
    started.set_value();
    for (bool running = true; running;) {
      // Edge-triggered: every write to the eventfd is an edge, so it needs no reading.
      auto rung = observer.whenBecomesReadable();
      take_jobs(io);
      {
        const std::lock_guard lock(mutex_);
        running = !stopping_ || !jobs_.empty();
      }
      if (running) rung.wait(io.waitScope);
    }
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  started.get_future().wait();
}

RpcLoop::~RpcLoop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ::eventfd_write(bell_.get(), 1);
  thread_.join();
}

void RpcLoop::post(Job job) {
  bool ring = false;
  {
    const std::lock_guard lock(mutex_);
    ring = jobs_.empty();
    jobs_.push_back(std::move(job));
  }
  if (ring) ::eventfd_write(bell_.get(), 1);
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

void RpcLoop::take_jobs(kj::AsyncIoContext& io) {
  std::vector<Job> jobs;
  {
    const std::lock_guard lock(mutex_);
    jobs.swap(jobs_);
  }
  for (auto& job : jobs) job(io);
}

std::string text_of(const kj::Exception& error) {
  return {error.getDescription().cStr(), error.getDescription().size()};
}

}  // namespace knee::rpc
