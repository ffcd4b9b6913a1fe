#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <ranges>
#include <utility>

#include <knee/detail/completion.h>
#include <knee/detail/task_state.h>

namespace knee {
class Bag;
}

namespace knee::detail {

/// Whether the slaves would take more tasks than they have been given. Any thread.
KNEE_EXPORT bool wants_tasks(const CallSite& site);
KNEE_EXPORT CallSite site_of(const Bag& bag);

/// Results that have come and were not yet yielded.
class Arrivals {
 public:
  struct Arrival {
    std::size_t index;
    TaskRef task;
  };
  void push(Arrival arrival) {
    {
      const std::lock_guard lock(mutex_);
      arrivals_.push_back(std::move(arrival));
    }
    came_.notify_one();
  }
  std::optional<Arrival> try_pop() {
    const std::lock_guard lock(mutex_);
    return take();
  }
  Arrival pop() {
    std::unique_lock lock(mutex_);
    came_.wait(lock, [this] { return !arrivals_.empty(); });
    return *take();
  }

 private:
  std::optional<Arrival> take() {
    if (arrivals_.empty()) return std::nullopt;
    std::optional<Arrival> first(std::move(arrivals_.front()));
    arrivals_.pop_front();
    return first;
  }
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<Arrival> arrivals_;
};

/// One element's result.
template <class T>
struct Mapped {
  std::size_t index;
  T value;
};
template <>
struct Mapped<void> {
  std::size_t index;
};

/// The lazy result of Bag::map: an input range over Mapped. Belongs to one thread; the bag outlives
/// it. A task that failed makes the increment throw its Error.
template <auto f, class Range>
class Map {
  using Function = std::remove_cv_t<decltype(f)>;
  using Result = std::remove_cvref_t<ResultOf<Function>>;

 public:
  Map(const Bag& bag, Range&& range) : site_(site_of(bag)), range_(std::forward<Range>(range)) {}

  class Iterator {
   public:
    using value_type = Mapped<Result>;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(Map& map) : map_(&map) {}
    value_type& operator*() const { return *map_->current_; }
    Iterator& operator++() {
      map_->advance();
      return *this;
    }
    void operator++(int) { map_->advance(); }
    bool operator==(std::default_sentinel_t) const { return !map_->current_; }

   private:
    Map* map_;
  };

  Iterator begin() {
    next_.emplace(std::ranges::begin(range_));
    advance();
    return Iterator(*this);
  }
  std::default_sentinel_t end() const { return {}; }

 private:
  static constexpr std::size_t kFirstWindow = 64;
  static constexpr std::size_t kLargestWindow = 64 * 1024;

  void advance() {
    current_.reset();
    fill();
    if (outstanding_ == 0) return;
    auto arrival = arrivals_->try_pop();
    if (!arrival) {
      // Nothing came while the window is full: if the slaves are hungry, it is too small.
      if (outstanding_ == window_ && window_ < kLargestWindow && wants_tasks(site_)) {
        window_ *= 2;
        fill();
      }
      arrival = arrivals_->pop();
    }
    --outstanding_;
    TaskState& task = *arrival->task;
    if (task.error()) std::rethrow_exception(task.error());
    if constexpr (std::is_void_v<Result>)
      current_.emplace(arrival->index);
    else
      current_.emplace(arrival->index, result_of<Result>(task));
  }

  void fill() {
    const auto end = std::ranges::end(range_);
    for (; outstanding_ < window_ && *next_ != end; ++*next_) {
      const TaskRef task = call<Function>(site_, entry_of_value<f>, nullptr, **next_);
      ++outstanding_;
      task->consume(
          [arrivals = arrivals_, index = index_++](TaskState& done) {
            done.add_reference();
            arrivals->push({index, TaskRef(&done)});
          },
          true);
    }
  }

  CallSite site_;
  Range range_;
  std::optional<std::ranges::iterator_t<std::remove_reference_t<Range>>> next_;
  std::shared_ptr<Arrivals> arrivals_ = std::make_shared<Arrivals>();
  std::optional<Mapped<Result>> current_;
  std::size_t index_ = 0;
  std::size_t outstanding_ = 0;
  std::size_t window_ = kFirstWindow;
};

}  // namespace knee::detail
