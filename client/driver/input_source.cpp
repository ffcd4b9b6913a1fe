#include "input_source.h"

#include <algorithm>
#include <utility>

#include "common/rpc/rpc_loop.h"

namespace knee::driver {

bool InputSource::write(std::string_view bytes) {
  while (!bytes.empty()) {
    std::function<void()> waiter;
    {
      std::unique_lock lock(mutex_);
      room_.wait(lock, [this] { return waiting_ < kMostWaiting || closed_ || over_; });
      if (closed_ || over_) return false;
      if (chunks_.empty() || chunks_.back().size() >= kChunk) chunks_.emplace_back();
      auto& chunk = chunks_.back();
      const auto size = std::min({bytes.size(), kChunk - chunk.size(), kMostWaiting - waiting_});
      chunk.append(bytes.substr(0, size));
      waiting_ += size;
      bytes.remove_prefix(size);
      waiter = take_waiter();
    }
    if (waiter) waiter();
  }
  const std::lock_guard lock(mutex_);
  return !closed_ && !over_;
}

void InputSource::close() {
  std::function<void()> waiter;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    waiter = take_waiter();
  }
  room_.notify_all();
  if (waiter) waiter();
}

void InputSource::end() {
  std::function<void()> waiter;
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
    chunks_.clear();
    waiting_ = 0;
    waiter = take_waiter();
  }
  room_.notify_all();
  if (waiter) waiter();
}

bool InputSource::claim() {
  const std::lock_guard lock(mutex_);
  return !std::exchange(claimed_, true);
}

kj::Promise<InputChunk> InputSource::next() {
  return rpc::offload([this](std::function<void()> job) { when_news(std::move(job)); },
                      [self = shared_from_this()] { return self->take(); });
}

void InputSource::when_news(std::function<void()> job) {
  {
    const std::lock_guard lock(mutex_);
    if (!has_news()) {
      waiter_.swap(job);
      return;
    }
  }
  job();
}

std::function<void()> InputSource::take_waiter() {
  return std::exchange(waiter_, nullptr);
}

InputChunk InputSource::take() {
  InputChunk chunk;
  {
    const std::lock_guard lock(mutex_);
    if (over_) {
      chunk.over = true;
      return chunk;
    }
    if (!chunks_.empty()) {
      chunk.bytes = std::move(chunks_.front());
      chunks_.pop_front();
      waiting_ -= chunk.bytes.size();
    }
    chunk.end = closed_ && chunks_.empty();
  }
  room_.notify_all();
  return chunk;
}

}  // namespace knee::driver
