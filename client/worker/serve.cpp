#include "serve.h"

#include <fcntl.h>
#include <knee/cluster.h>
#include <knee/detail/task_state.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <optional>
#include <vector>

#include "client/call/exception_text.h"
#include "client/worker/current_task.h"
#include "client/worker/freed_memory.h"
#include "client/worker/high_descriptor.h"
#include "client/worker/object_server.h"
#include "client/worker/output.h"
#include "client/worker/shared_values.h"
#include "client/worker/task_objects.h"
#include "common/channel/record.h"
#include "common/channel/worker_end.h"
#include "common/channel/worker_mark.h"
#include "common/program/function_address.h"
#include "common/program/library_path.h"
#include "proto/worker.capnp.h"

namespace knee::worker {
namespace {

/// A task that ends sooner cannot have made a system call, so it has neither printed nor moved.
constexpr std::uint64_t kNoSystemCall = 300;  // ns
/// Of a function that the driver could not find (worker.capnp).
constexpr std::uint32_t kNoFile = UINT32_MAX;
/// A task that ends sooner has not freed much.
constexpr std::uint64_t kFreesLittle = 100'000;  // ns

std::uint64_t monotonic_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(now.tv_nsec);
}

/// The worker's loop. One per process, on the main thread.
class Server {
 public:
  explicit Server(UniqueFd socket) : channel_(std::move(socket)) {
    read_setup();
    keep_freed_memory();
    home_ = out_of_the_way(UniqueFd(::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC)).get());
    channel_.put(records_.build<proto::FromWorker>(
        [](proto::FromWorker::Builder record) { record.setReady(); }));
  }

  void serve() {
    for (;;) {
      if (const auto record = channel_.claim())
        take(*record);
      else if (!channel_.wait())
        return;
    }
  }

 private:
  void read_setup() {
    channel::RecordReader reader(std::as_bytes(std::span(channel_.setup())));
    const auto setup = reader.root<proto::Setup>();
    for (const auto file : setup.getFiles()) files_.emplace_back(file.cStr());
    current_task().attach(channel_, setup.getSlaveName().cStr(), setup.getSlot());
  }

  void take(std::span<const std::byte> bytes) {
    channel::RecordReader reader(bytes);
    const auto record = reader.root<proto::ToWorker>();
    switch (record.which()) {
      case proto::ToWorker::TASK:
        run(record.getTask());
        break;
      case proto::ToWorker::FUNCTIONS:
        learn(record.getFunctions());
        break;
      case proto::ToWorker::SHARED:
        learn(record.getShared());
        break;
      case proto::ToWorker::SERVE_OBJECTS:
        serve(record.getServeObjects());
    }
    channel_.release_record();
    channel_.end();
  }

  /// The worker is a home of objects, for the rest of its life.
  [[noreturn]] void serve(std::uint64_t value) {
    auto socket = channel_.wait_value(value);
    if (socket) serve_objects(std::move(*socket), std::move(files_));
    leave();
  }

  void learn(proto::FunctionTable::Reader table) {
    const std::size_t first = table.getFirst();
    const auto entries = table.getEntries();
    if (functions_.size() < first + entries.size()) functions_.resize(first + entries.size());
    for (unsigned i = 0; i < entries.size(); ++i) functions_[first + i] = find(entries[i]);
  }

  static void learn(proto::SharedValue::Reader shared) {
    detail::DigestBytes digest{};
    const auto bytes = shared.getDigest();
    std::memcpy(digest.data(), bytes.begin(), std::min(bytes.size(), digest.size()));
    SharedValues::instance().learn(digest, shared.getPath().cStr());
  }

  struct Function {
    detail::FunctionEntry::Thunk thunk = nullptr;
    std::string problem;
  };

  Function find(proto::Function::Reader function) const {
    Function found;
    try {
      if (function.getFile() == kNoFile) {
        found.problem = function.getLabel().cStr();
        return found;
      }
      if (function.getFile() >= files_.size()) throw std::runtime_error("unknown file");
      found.thunk = reinterpret_cast<detail::FunctionEntry::Thunk>(
          const_cast<void*>(program::resolve({files_[function.getFile()], function.getOffset()})));
    } catch (const std::exception& error) {
      found.problem =
          std::string("the worker cannot find ") + function.getLabel().cStr() + ": " + error.what();
    }
    return found;
  }

  void run(proto::Task::Reader task) {
    detail::Bytes result;
    std::optional<detail::ExceptionText> failed;
    const std::uint64_t start = monotonic_now();
    channel_.begin(start);
    current_task().begin(channel_.number(), task.getAttempt());
    try {
      if (task.hasCapabilities())
        call_with_objects(task, result);
      else
        call(task, result);
    } catch (...) {
      failed = detail::describe_current_exception();
    }
    const std::uint64_t run_time = monotonic_now() - start;
    const bool looked = run_time > kNoSystemCall;
    const bool printed = looked && output_.flush();
    // The user's code has run. What follows may have to wait for the slave.
    channel_.finish();
    if (!failed && result.size() > channel::kMaxInline) failed = pass(result);
    current_task().end();
    if (run_time > kFreesLittle) channel_.when_idle(give_back_freed_memory);
    if (looked && home_) (void)!::fchdir(home_.get());

    const auto record = records_.build<proto::FromWorker>([&](auto root) {
      root.setPrinted(printed);
      auto outcome = root.initOutcome();
      outcome.setId(task.getId());
      outcome.setAttempt(task.getAttempt());
      outcome.setRunTime(run_time);
      if (failed) {
        auto exception = outcome.initException();
        exception.setType(failed->type);
        exception.setWhat(failed->what);
      } else {
        fill(outcome.initValue(), result);
      }
    });
    using Bell = channel::WorkerEnd::Bell;
    const bool sent = channel_.put(record, printed ? Bell::at_once : Bell::as_agreed);
    if (!sent || (printed && !channel_.wait_output_drained(channel_.number()))) leave();
  }

  void call_with_objects(proto::Task::Reader task, detail::Bytes& result) {
    if (!object_host_) object_host_.emplace(files_);
    auto socket = channel_.wait_value(~task.getId());
    if (!socket) leave();
    TaskObjects(*object_host_, std::move(*socket), task.getChain()).run([&] {
      call(task, result);
    });
  }

  void call(proto::Task::Reader task, detail::Bytes& result) {
    if (task.getFunction() >= functions_.size())
      throw std::runtime_error("the worker was not told of this function");
    const Function& function = functions_[task.getFunction()];
    if (function.thunk == nullptr) throw std::runtime_error(function.problem);
    const auto arguments = task.getArguments();
    if (arguments.isValue()) {
      auto fd = channel_.wait_value(arguments.getValue());
      if (!fd) leave();
      take_argument(std::move(*fd), arguments.getSize());
      function.thunk(argument_.bytes(), result);
    } else {
      const auto bytes = arguments.getInline();
      function.thunk({reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()}, result);
    }
  }

  /// Memory that comes again is mapped already: to map many pages costs as much as to copy them.
  void take_argument(UniqueFd fd, std::size_t size) {
    if (argument_.capacity() >= size && argument_.fd() >= 0 &&
        channel::is_same(argument_.fd(), fd.get())) {
      argument_.resize(size);
    } else {
      // A task may have lowered the number of files that this process may open.
      if (auto high = out_of_the_way(fd.get())) fd = std::move(high);
      argument_ = channel::SharedMemory::map(std::move(fd), size);
      argument_.expect_reading();
    }
  }

  /// A result too long for a record goes before it, as a value. Returns what went wrong.
  std::optional<detail::ExceptionText> pass(const detail::Bytes& result) {
    try {
      const UniqueFd memory = memory_for(result.size());
      channel::write_at(memory.get(), result.view(), 0);
      if (!channel_.send_value(++last_value_, memory.get())) leave();
      return std::nullopt;
    } catch (...) {
      return detail::describe_current_exception();
    }
  }

  void fill(proto::Payload::Builder payload, const detail::Bytes& result) const {
    if (result.size() <= channel::kMaxInline) {
      payload.setInline(
          kj::arrayPtr(reinterpret_cast<const kj::byte*>(result.data()), result.size()));
    } else {
      payload.setValue(last_value_);
      payload.setSize(result.size());
    }
  }

  /// Memory of an earlier value if there is some: fresh pages cost more than the copy into them.
  UniqueFd memory_for(std::size_t size) {
    auto lent = channel_.take_lent();
    if (lent && channel::size_of(lent.get()) >= size) return lent;
    return channel::SharedMemory::create_unmapped("knee-result", size);
  }

  [[noreturn]] static void leave() {
    std::fflush(nullptr);
    ::_exit(0);
  }

  channel::WorkerEnd channel_;
  channel::RecordBuilder records_;
  Output output_;
  UniqueFd home_;
  std::vector<std::string> files_;
  std::vector<Function> functions_;
  std::optional<TaskObjectHost> object_host_;  ///< once there was a task with objects
  std::uint64_t last_value_ = 0;
  channel::SharedMemory argument_;  ///< of the last task that had a large one
};

}  // namespace

void serve_if_worker() {
  const char* mark = std::getenv(channel::kWorkerMark);
  if (mark == nullptr) return;
  const auto socket = channel::check_worker_mark(mark);
  ::unsetenv(channel::kWorkerMark);
  program::restore_library_path();
  if (!socket) return;  // a child of a worker inherited the variable
  try {
    UniqueFd given(*socket);
    auto moved = out_of_the_way(given.get());
    check(moved.get(), "cannot move the channel");
    given.reset();
    Server(std::move(moved)).serve();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "knee worker: %s\n", error.what());
    std::fflush(nullptr);
    ::_exit(70);
  }
  std::fflush(nullptr);
  ::_exit(0);
}

}  // namespace knee::worker

void knee::serve_if_worker() {
  worker::serve_if_worker();
}
