#include "current_task.h"

#include <knee/this_task.h>
#include <pthread.h>
#include <signal.h>

namespace knee::worker {

CurrentTask& current_task() {
  // Never destroyed: user threads may ask while the process ends.
  static auto* const task = new CurrentTask;
  return *task;
}

void CurrentTask::attach(channel::WorkerEnd& channel, std::string slave, unsigned slot) {
  channel_ = &channel;
  slave_ = std::move(slave);
  slot_ = slot;
}

void CurrentTask::begin(std::uint32_t number, unsigned attempt) {
  number_.store(number, std::memory_order_relaxed);
  attempt_.store(attempt, std::memory_order_relaxed);
}

void CurrentTask::end() {
  attempt_.store(0, std::memory_order_relaxed);
  if (!watching_) return;  // written by this thread or by one that the task has waited for
  const std::lock_guard lock(mutex_);
  stop_.reset();
}

bool CurrentTask::cancelled() const noexcept {
  return attempt() != 0 && channel_->cancelled(number_.load(std::memory_order_relaxed));
}

void CurrentTask::progress(double fraction) noexcept {
  if (attempt() != 0) channel_->set_progress(static_cast<float>(fraction));
}

std::stop_token CurrentTask::stop_token() {
  if (attempt() == 0) return {};
  const std::lock_guard lock(mutex_);
  if (!stop_) {
    stop_.emplace();
    stop_number_ = number_.load(std::memory_order_relaxed);
    if (cancelled()) stop_->request_stop();
  }
  if (!std::exchange(watching_, true)) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread([this] { watch(); }).detach();  // it ends with the process
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
  }
  return stop_->get_token();
}

void CurrentTask::watch() {
  for (std::uint32_t word = 0;;) {
    word = channel_->wait_cancel_word(word);
    std::stop_source stop{std::nostopstate};
    {
      const std::lock_guard lock(mutex_);
      if (stop_ && channel_->cancelled(stop_number_)) stop = *stop_;
    }
    stop.request_stop();  // runs the user's stop callbacks, so without the lock
  }
}

}  // namespace knee::worker

namespace knee::this_task {

bool cancelled() noexcept {
  return worker::current_task().cancelled();
}
std::stop_token stop_token() {
  return worker::current_task().stop_token();
}
const std::string& slave() noexcept {
  return worker::current_task().slave();
}
unsigned slot() noexcept {
  return worker::current_task().slot();
}
unsigned attempt() noexcept {
  return worker::current_task().attempt();
}
void progress(double fraction) noexcept {
  worker::current_task().progress(fraction);
}

}  // namespace knee::this_task
