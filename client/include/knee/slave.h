#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include <knee/bag.h>
#include <knee/command.h>
#include <knee/placement.h>
#include <knee/promise.h>
#include <knee/python.h>
#include <knee/ref.h>
#include <knee/slave_info.h>

namespace knee {

class Files;

namespace detail {

template <class... Args>
inline constexpr bool begins_with_placement = false;
template <class First, class... Rest>
inline constexpr bool begins_with_placement<First, Rest...> =
    std::is_same_v<std::remove_cvref_t<First>, Placement>;

}  // namespace detail

/// One slave of a cluster, by name; it need not be there yet. A cheap value that must not outlive
/// its Cluster. Tasks called through it run there and nowhere else: they wait until it comes.
class KNEE_EXPORT Slave {
 public:
  template <auto f, class... Args>
  requires(!detail::begins_with_options<Args...>) auto call(Args&&... args) const {
    return call<f>(TaskOptions(), std::forward<Args>(args)...);
  }
  template <auto f, class... Args>
  auto call(const TaskOptions& options, Args&&... args) const {
    using Function = std::remove_cv_t<decltype(f)>;
    return send<Function>(detail::entry_of_value<f>, options, std::forward<Args>(args)...);
  }
  template <class Function, class... Args>
  requires(!std::is_same_v<std::remove_cvref_t<Function>, TaskOptions>) auto call(
      Function, Args&&... args) const {
    return send<Function>(detail::entry_of_type<Function>, TaskOptions(),
                          std::forward<Args>(args)...);
  }
  template <class Function, class... Args>
  auto call(const TaskOptions& options, Function, Args&&... args) const {
    return send<Function>(detail::entry_of_type<Function>, options, std::forward<Args>(args)...);
  }

  /// Makes a T there and gives a reference to it, which can be called at once: `auto object =
  /// gandalf.make<T>(args...)`. It lives in a worker of its own kind, beside the slots, with all
  /// other objects this program makes on that slave without a placement.
  template <class T, class... Args>
  requires(!detail::begins_with_placement<Args...>) Ref<T> make(Args&&... args)
  const { return make<T>(Placement(), std::forward<Args>(args)...); }
  /// In the process that `placement` says.
  template <class T, class... Args>
  Ref<T> make(const Placement& placement, Args&&... args) const {
    return detail::make<T>(detail::root_of(site_, placement), std::forward<Args>(args)...);
  }
  /// A Python session there. Throws Error::setup if this build of Knee has none.
  Python python() const;
  /// How many objects this program has on it, those behind its open Files among them, those of
  /// Python sessions not. Waits until no method runs in their processes, unless that waits itself.
  std::size_t objects() const;

  /// Runs an executable there.
  Promise<CommandResult> run(Command command, const TaskOptions& options = {}) const {
    return Promise<CommandResult>(detail::submit_command(site_, std::move(command), &options));
  }

  /// Runs a line of `/bin/sh` there, in the home folder ($HOME) of the user that knee-slave runs
  /// as, with no input. It takes a slot, and is started once: if the slave is lost, it fails.
  Promise<CommandResult> shell(const std::string& line) const;

  /// The files of its machine (knee/files.h).
  Files files() const;

  /// The environment of its workers. Waits for it; starts a process there for that.
  std::map<std::string, std::string> env() const;

  /// What it is, or why it cannot be said. As Cluster::describe.
  SlaveInfo describe(std::chrono::nanoseconds patience = std::chrono::seconds(12)) const;
  /// The same; throws Error::slave_lost, with the reason, if it cannot be said.
  SlaveInfo info(std::chrono::nanoseconds patience = std::chrono::seconds(12)) const;

  const std::string& name() const { return name_; }

  /// For the library.
  Slave(detail::CallSite site, std::string name) : site_(site), name_(std::move(name)) {}

 private:
  template <class Function, class... Args>
  auto send(const detail::FunctionEntry& entry, const TaskOptions& options, Args&&... args) const {
    using Result = std::remove_cvref_t<detail::ResultOf<Function>>;
    return Promise<Result>(
        detail::call<Function>(site_, entry, &options, std::forward<Args>(args)...));
  }

  detail::CallSite site_;
  std::string name_;
};

}  // namespace knee
