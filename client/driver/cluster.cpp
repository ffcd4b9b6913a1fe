#include <knee/cluster.h>

#include <cstdio>
#include <cstdlib>
#include <limits>

#include "client/call/call_chain.h"
#include "client/call/task_access.h"
#include "client/config/cluster_options.h"
#include "client/config/resolve.h"
#include "client/driver/bag_state.h"
#include "client/driver/command_job.h"
#include "client/driver/driver.h"
#include "client/driver/function_call.h"
#include "client/driver/object_ref.h"

namespace knee {

// --- Cluster

Cluster::Cluster(int& argc, char** argv) {
  serve_if_worker();
  try {
    auto options = config::cluster_options(argc, argv);
    config::check_shipped(options);
    driver_ = std::make_unique<driver::Driver>(std::move(options));
  } catch (const Error& error) {
    config::refuse(error);
  }
}

Cluster::Cluster(ClusterOptions options)
    : driver_(std::make_unique<driver::Driver>(
          (config::check(options), config::check_shipped(options), std::move(options)))) {}

Cluster::~Cluster() = default;

Bag Cluster::bag(BagOptions options) {
  return Bag(*driver_, std::move(options));
}

void Cluster::pause_callbacks() {
  driver_->pause_callbacks();
}

void Cluster::resume_callbacks() {
  driver_->resume_callbacks();
}

Slave Cluster::slave(const std::string& name) {
  auto place = site();
  place.pinned = driver_->slave_index(name);
  return Slave(place, name);
}

std::vector<std::string> Cluster::slaves() const {
  return driver_->slave_names();
}
unsigned Cluster::slots() const {
  return driver_->slots();
}

std::vector<SlaveInfo> Cluster::describe(std::chrono::nanoseconds patience) const {
  return driver_->describe(std::nullopt, patience);
}

SlaveInfo Slave::describe(std::chrono::nanoseconds patience) const {
  if (site_.pinned != UINT32_MAX) {
    for (int tries = 0; tries < 2; ++tries) {
      const auto found = site_.driver->describe(site_.pinned, patience);
      if (!found.empty()) return found.front();
      // Names are known when the slaves have answered.
      if (tries == 0) site_.driver->describe(std::nullopt, patience);
    }
  }
  SlaveInfo unknown;
  unknown.name = name_;
  unknown.error = "no slave of that name has come";
  return unknown;
}

std::size_t Slave::objects() const {
  return site_.driver->count_objects(site_.pinned);
}

detail::CallSite Cluster::site() const {
  detail::CallSite site;
  site.driver = driver_.get();
  return site;
}

// --- Bag

Bag::Bag(driver::Driver& driver, BagOptions options)
    : driver_(&driver), state_(new detail::BagState(std::move(options))) {}

Bag::Bag(Bag&& other) noexcept
    : driver_(std::exchange(other.driver_, nullptr)),
      state_(std::exchange(other.state_, nullptr)) {}

Bag::~Bag() {
  if (state_ == nullptr) return;
  if (state_->outstanding.load(std::memory_order_acquire) != 0) {
    if (driver_->in_callback()) {
      std::fputs(
          "knee: a Bag was destroyed in a callback while tasks of it were open: it would wait for "
          "itself for ever. Let it live until bag.wait() has returned.\n",
          stderr);
      std::abort();
    }
    cancel();
    driver_->resume_callbacks();  // else it would wait for ever
    while (!state_->wait_for(std::chrono::hours(1))) {
    }
  }
  state_->drop_reference();
}

void Bag::wait() {
  driver_->wait(*state_);
}
void Bag::cancel() {
  driver_->cancel(*state_);
}

Bag::Counts Bag::counts() const {
  return {state_->done.load(), state_->failed.load(), state_->outstanding.load()};
}

detail::CallSite Bag::site() const {
  detail::CallSite site;
  site.driver = driver_;
  site.bag = state_;
  site.defaults = &state_->options;
  return site;
}

}  // namespace knee

namespace knee::detail {

CallSite site_of(const Bag& bag) {
  return bag.site();
}

bool wants_tasks(const CallSite& site) {
  return site.driver->wants_tasks();
}

namespace {

/// The option's value in the type it has in a task.
template <class Narrow>
Narrow within(const char* option, std::uint64_t value) {
  constexpr std::uint64_t most = std::numeric_limits<Narrow>::max();
  if (value == 0 || value > most)
    throw Error(Error::Kind::usage, std::string("TaskOptions::") + option + " is " +
                                        std::to_string(value) + "; it may be 1 to " +
                                        std::to_string(most));
  return static_cast<Narrow>(value);
}

std::uint64_t time_limit(std::chrono::nanoseconds limit) {
  if (limit.count() <= 0)
    throw Error(Error::Kind::usage, "TaskOptions::timeout is " + std::to_string(limit.count()) +
                                        " ns; leave it out for no limit");
  return static_cast<std::uint64_t>(limit.count());
}

void apply(TaskState& task, const TaskOptions& options) {
  if (options.cores) task.cores = within<std::uint16_t>("cores", *options.cores);
  if (options.timeout) task.timeout = time_limit(*options.timeout);
  if (options.retry_timeouts) task.retry_timeouts = *options.retry_timeouts;
  if (options.attempts) task.attempts = within<std::uint8_t>("attempts", *options.attempts);
  if (options.repeatable) task.repeatable = *options.repeatable;
}

TaskRef make_task(const CallSite& site, const FunctionEntry* function, const TaskOptions* options) {
  if (site.bag != nullptr) site.bag->add_reference();
  TaskRef task(new TaskState(*site.driver, function, site.bag));
  task->pinned = site.pinned;
  if (site.defaults != nullptr) apply(*task, *site.defaults);
  if (options != nullptr) apply(*task, *options);
  if (function != nullptr && options != nullptr && !options->name.empty())
    Access::extra(*task) =
        std::make_shared<driver::FunctionCall>(driver::FunctionCall{.name = options->name});
  return task;
}

/// What a task calls in the driver would be called twice if it ran twice.
void lend(TaskState& task, std::vector<ObjectRef> objects, const CallSite& site,
          const TaskOptions* options) {
  const bool told = (site.defaults != nullptr && site.defaults->attempts) ||
                    (options != nullptr && options->attempts);
  if (!told) task.attempts = 1;
  site.driver->object_owner().check(objects);
  task.repeatable = false;
  auto& extra = Access::extra(task);
  if (!extra) extra = std::make_shared<driver::FunctionCall>();
  auto& call = *driver::function_call(task);
  call.objects = std::move(objects);
  call.chain = chain_here();
}

void send_off(const CallSite& site, const TaskRef& task) {
  if (site.bag != nullptr) site.bag->begin();
  site.driver->submit(task);
}

}  // namespace

TaskRef submit(const CallSite& site, const FunctionEntry& function, Bytes arguments,
               CallContext& context, const TaskOptions* options) {
  if (site.driver->options().commands_only)
    throw Error(
        Error::Kind::usage,
        "a cluster with ClusterOptions::commands_only cannot call functions: the program is "
        "not sent to the slaves");
  TaskRef task = make_task(site, &function, options);
  if (!context.objects.empty()) lend(*task, std::move(context.objects), site, options);
  Access::payload(*task) = std::move(arguments);
  Access::shared(*task) = std::move(context.shared);
  send_off(site, task);
  return task;
}

TaskRef submit_command(const CallSite& site, Command command, const TaskOptions* options) {
  // The options are checked before the job takes a live input, which it does only once.
  TaskRef task = make_task(site, nullptr, options);
  task->kind = TaskState::Kind::command;
  auto job = std::make_shared<driver::CommandJob>(std::move(command));
  if (options != nullptr && !options->name.empty()) job->label = options->name;
  if (job->live_input) {
    task->attempts = 1;
    task->repeatable = false;
  }
  Access::extra(*task) = std::move(job);
  send_off(site, task);
  return task;
}

template <>
CommandResult result_of<CommandResult>(TaskState& state) {
  return std::move(driver::command_job(state).result);
}

}  // namespace knee::detail
