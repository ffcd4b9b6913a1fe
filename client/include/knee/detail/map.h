#pragma once
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <ranges>
#include <type_traits>
#include <utility>
#include <vector>

#include <knee/detail/completion.h>
#include <knee/detail/task_state.h>

namespace knee {
class Bag;
}

namespace knee::detail {

/// Whether the slaves would take more tasks than they have been given. Any thread.
KNEE_EXPORT bool wants_tasks(const CallSite& site);
KNEE_EXPORT CallSite site_of(const Bag& bag);

/// The progress line of a loop over a map. Destruction wipes it. Belongs to the loop's thread.
class KNEE_EXPORT MapProgress {
 public:
  explicit MapProgress(const CallSite& site);
  MapProgress(MapProgress&&) noexcept;
  MapProgress& operator=(MapProgress&&) noexcept;
  ~MapProgress();

  /// Draws it if that is due.
  void look();
  /// When it is due next.
  std::chrono::steady_clock::time_point due() const;

 private:
  struct Line;
  std::unique_ptr<Line> line_;  ///< none: nobody wants to see it
};

/// Elements whose tasks have ended and that were not yet yielded.
class Arrivals {
 public:
  struct Arrival {
    std::size_t index;
    std::size_t place;  ///< of its task in the Outstanding
  };
  void push(Arrival arrival) {
    {
      const std::lock_guard lock(mutex_);
      arrivals_.push_back(arrival);
    }
    came_.notify_one();
  }
  std::optional<Arrival> try_pop() {
    const std::lock_guard lock(mutex_);
    return take();
  }
  /// Waits for one. Results go on being fetched, also if it is the callback thread that waits.
  KNEE_EXPORT Arrival pop(const CallSite& site, MapProgress& progress);

 private:
  std::optional<Arrival> take() {
    if (arrivals_.empty()) return std::nullopt;
    const Arrival first = arrivals_.front();
    arrivals_.pop_front();
    return first;
  }
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<Arrival> arrivals_;
};

/// The tasks that a map has sent off and whose results it has not yielded. Destruction cancels
/// them: nobody could have the results.
class Outstanding {
 public:
  Outstanding() = default;
  Outstanding(Outstanding&&) noexcept = default;
  Outstanding& operator=(Outstanding&& other) noexcept {
    std::swap(tasks_, other.tasks_);
    std::swap(free_, other.free_);
    return *this;
  }
  ~Outstanding() {
    for (auto& task : tasks_)
      if (task && !task->done()) task->cancel();
  }

  std::size_t size() const { return tasks_.size() - free_.size(); }
  /// Gives its place, by which it is taken.
  std::size_t add(TaskRef task) {
    if (free_.empty()) {
      tasks_.push_back(std::move(task));
      return tasks_.size() - 1;
    }
    const std::size_t place = free_.back();
    free_.pop_back();
    tasks_[place] = std::move(task);
    return place;
  }
  TaskRef take(std::size_t place) {
    free_.push_back(place);
    return std::move(tasks_[place]);
  }

 private:
  std::vector<TaskRef> tasks_;     ///< by place
  std::vector<std::size_t> free_;  ///< places without a task
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
/// it. A task that failed makes the increment throw its Error. Destruction cancels the tasks whose
/// results were not yielded.
template <auto f, class Range>
class Map {
  using Function = std::remove_cv_t<decltype(f)>;
  using Result = std::remove_cvref_t<ResultOf<Function>>;

 public:
  Map(const Bag& bag, Range&& range)
      : site_(site_of(bag)), range_(std::forward<Range>(range)), progress_(site_) {}

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
  static constexpr std::size_t kLargestWindow = std::size_t{64} * 1024;
  /// Elements without a wait after which the progress line is looked at.
  static constexpr std::size_t kLookEvery = 256;

  void advance() {
    current_.reset();
    fill();
    if (outstanding_.size() == 0) return;
    auto arrival = arrivals_->try_pop();
    if (!arrival) {
      // Nothing came while the window is full: if the slaves are hungry, it is too small.
      if (outstanding_.size() == window_ && window_ < kLargestWindow && wants_tasks(site_)) {
        window_ *= 2;
        fill();
      }
      arrival = arrivals_->pop(site_, progress_);
    } else if (arrival->index % kLookEvery == 0) {
      progress_.look();
    }
    const TaskRef task = outstanding_.take(arrival->place);
    if (task->error()) std::rethrow_exception(task->error());
    if constexpr (std::is_void_v<Result>)
      current_.emplace(arrival->index);
    else
      current_.emplace(arrival->index, result_of<Result>(*task));
  }

  void fill() {
    const auto end = std::ranges::end(range_);
    for (; outstanding_.size() < window_ && *next_ != end; ++*next_) {
      const TaskRef task = call<Function>(site_, entry_of_value<f>, nullptr, **next_);
      task->consume(
          [arrivals = arrivals_, index = index_++, place = outstanding_.add(task)](TaskState&) {
            arrivals->push({index, place});
          },
          true);
    }
  }

  CallSite site_;
  Range range_;
  std::optional<std::ranges::iterator_t<std::remove_reference_t<Range>>> next_;
  std::shared_ptr<Arrivals> arrivals_ = std::make_shared<Arrivals>();
  std::optional<Mapped<Result>> current_;
  Outstanding outstanding_;
  MapProgress progress_;
  std::size_t index_ = 0;
  std::size_t window_ = kFirstWindow;
};

}  // namespace knee::detail
