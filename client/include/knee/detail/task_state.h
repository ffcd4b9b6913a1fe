#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <knee/codec.h>
#include <knee/detail/bytes.h>
#include <knee/detail/call_context.h>
#include <knee/detail/continuation.h>
#include <knee/detail/export.h>
#include <knee/options.h>

/// What the templates of the public headers and the library share. Not part of the promise.
namespace knee::driver {
class Driver;
}

namespace knee::detail {

struct BagState;
struct SlaveEntry;
struct UseResult;

/// A function that is a task somewhere in this program. One static object per function, in every
/// process of the program at the same place.
struct FunctionEntry {
  using Thunk = void (*)(std::span<const std::byte> arguments, Bytes& result);
  Thunk thunk;
  std::string_view label;  ///< as the compiler spells the function
  /// Index in the process's table of functions, given at the first call; 0: not yet. See
  /// function_index.
  mutable std::atomic<std::uint32_t> index{0};
};

/// Its place in the table, from 1. Any thread.
KNEE_EXPORT std::uint32_t function_index(const FunctionEntry& function);

using Deadline = std::chrono::steady_clock::time_point;
inline constexpr Deadline kNever = Deadline::max();

/// One task from its call to the end of its last consumer: shared by the promise and the driver.
/// A consumer is a continuation, a thread that waits, or nobody.
class KNEE_EXPORT TaskState {
 public:
  using Continuation = SmallFunction<void(TaskState&)>;

  TaskState(driver::Driver& driver, const FunctionEntry* function, BagState* bag)
      : driver_(&driver), function_(function), bag_(bag) {}
  /// One of a worker, which belongs to no driver.
  TaskState() = default;
  /// One that has ended, and belongs to no driver.
  TaskState(Bytes result, std::exception_ptr error)
      : phase_(Phase::done), payload_(std::move(result)), error_(std::move(error)) {}
  TaskState(const TaskState&) = delete;
  ~TaskState();

  void add_reference() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void drop_reference() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

  bool done() const noexcept { return phase_.load(std::memory_order_acquire) == Phase::done; }

  /// Blocks until it is done; several threads may. Throws Error::usage if that can never be.
  void wait();
  /// The same, until then at most, by nobody else at the time. Whether it is done.
  bool wait_until(Deadline deadline);
  /// Sets what is called, once, when it is done; perhaps it is already. `anywhere`: the
  /// continuation only posts and may be called on the RPC loop; otherwise it runs on the callback
  /// thread.
  void consume(Continuation continuation, bool anywhere = false);
  void cancel();
  /// To a running command.
  void signal(int number);
  /// Of a command: whether it was reported as started, and did not go back to be started again.
  bool started() const;

  /// After `done`: what it failed with, or null.
  const std::exception_ptr& error() const noexcept { return error_; }
  /// After `done` without an error: the encoded result.
  std::span<const std::byte> value() const noexcept { return payload_.view(); }
  /// Nobody dealt with this failure: the bag will report it.
  void unhandled(const std::exception_ptr& error);
  /// The promise is dropped without a consumer.
  void abandon();

 private:
  friend class driver::Driver;
  friend struct Access;

  /// By the first of those that wait. `attending`: that thread may use the driver; `waited`: it
  /// does not, or not any more; `nested`: it carries out calls meanwhile.
  enum class Phase : std::uint32_t { pending, armed, attending, waited, nested, abandoned, done };

  std::atomic<std::uint32_t> references_{1};
  std::atomic<Phase> phase_{Phase::pending};
  bool anywhere_ = false;

 public:
  enum class Kind : std::uint8_t { function, command, method };

  // Filled before submission, then the driver's.
  Kind kind = Kind::function;
  bool retry_timeouts = false;
  bool repeatable = false;
  std::uint8_t attempts = 3;
  std::uint16_t cores = 1;
  std::uint16_t attempt = 0;
  std::uint32_t pinned = UINT32_MAX;
  std::uint64_t timeout = 0;
  std::uint64_t id = 0;

 private:
  driver::Driver* driver_ = nullptr;
  const FunctionEntry* function_ = nullptr;
  BagState* bag_ = nullptr;
  Bytes payload_;  ///< the arguments, then the result
  Continuation continuation_;
  std::exception_ptr error_;
  /// By kind: a driver::FunctionCall or nothing, a CommandJob, an ObjectCall.
  std::shared_ptr<void> extra_;
  std::vector<std::shared_ptr<const SharedBlob>> shared_;  ///< what the arguments refer to
  std::shared_ptr<UseResult>
      answer_;  ///< of an object that was used by names, in place of payload_
};

/// Owns one reference.
class TaskRef {
 public:
  TaskRef() = default;
  /// Takes over a reference.
  explicit TaskRef(TaskState* state) noexcept : state_(state) {}
  TaskRef(TaskRef&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
  TaskRef& operator=(TaskRef&& other) noexcept {
    std::swap(state_, other.state_);
    return *this;
  }
  TaskRef(const TaskRef& other) noexcept : state_(other.state_) {
    if (state_ != nullptr) state_->add_reference();
  }
  ~TaskRef() {
    if (state_ != nullptr) state_->drop_reference();
  }
  TaskState* operator->() const noexcept { return state_; }
  TaskState& operator*() const noexcept { return *state_; }
  TaskState* get() const noexcept { return state_; }
  TaskState* release() noexcept { return std::exchange(state_, nullptr); }
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  TaskState* state_ = nullptr;
};

/// What a call site says about its task.
struct CallSite {
  driver::Driver* driver = nullptr;
  BagState* bag = nullptr;
  std::uint32_t pinned = UINT32_MAX;
  const TaskOptions* defaults = nullptr;  ///< of the bag
};

/// A task that has ended already: with that encoded result, or with an error. It belongs to no
/// driver.
KNEE_EXPORT TaskRef ended_task(Bytes result, std::exception_ptr error);

/// Makes a task and sends it on its way.
/// `context`: what the arguments refer to, taken over.
KNEE_EXPORT TaskRef submit(const CallSite& site, const FunctionEntry& function, Bytes arguments,
                           CallContext& context, const TaskOptions* options);

/// Encodes the arguments of a call of Function and sends the task on its way.
template <class Function, class... Args>
TaskRef call(const CallSite& site, const FunctionEntry& entry, const TaskOptions* options,
             Args&&... args) {
  Bytes encoded;
  CallContext context;
  encode_arguments_in<Function>(encoded, &context, std::forward<Args>(args)...);
  return submit(site, entry, std::move(encoded), context, options);
}

/// The name of a function as a template argument, cut out of the compiler's spelling.
template <auto function>
constexpr std::string_view spelling_of_value() {
  constexpr std::string_view all = __PRETTY_FUNCTION__;
  constexpr auto begin = all.find("function = ") + 11;
  return all.substr(begin, all.find_first_of(";]", begin) - begin);
}
template <class Function>
constexpr std::string_view spelling_of_type() {
  constexpr std::string_view all = __PRETTY_FUNCTION__;
  constexpr auto begin = all.find("Function = ") + 11;
  return all.substr(begin, all.find_first_of(";]", begin) - begin);
}

template <auto function>
void thunk_of_value(std::span<const std::byte> arguments, Bytes& result) {
  invoke_encoded<function>(arguments, result);
}
template <class Function>
void thunk_of_type(std::span<const std::byte> arguments, Bytes& result) {
  invoke_encoded_with<Function>(Function{}, arguments, result);
}

template <auto function>
inline FunctionEntry entry_of_value{&thunk_of_value<function>, spelling_of_value<function>()};
template <class Function>
inline FunctionEntry entry_of_type{&thunk_of_type<Function>, spelling_of_type<Function>()};

}  // namespace knee::detail
