#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include <knee/bag.h>
#include <knee/command.h>
#include <knee/options.h>
#include <knee/shared.h>
#include <knee/slave.h>
#include <knee/slave_info.h>

namespace knee {

/// Turns this process into a worker if a slave started it as one, and then never returns: it serves
/// tasks and ends. Otherwise does nothing. `Cluster(argc, argv)` calls it; who builds
/// ClusterOptions by hand calls it as the first line of main, since what stands before it runs once
/// per worker.
KNEE_EXPORT void serve_if_worker();

/// The slaves a program uses: found, connected and reconnected in the background. Make one, in
/// main.
///
/// `Cluster(argc, argv)` should be the first line of main: in a worker it serves tasks and never
/// returns. It takes its own options out of argv (`--knee-help` lists them).
///
/// Thread-safe. Destruction cancels all tasks, runs their callbacks, ends the workers and the local
/// slave. What these callbacks submit ends as cancelled; one that does so again and again gets that
/// error thrown.
class KNEE_EXPORT Cluster {
 public:
  /// For a program's main: what cannot be is said on stderr, and ends the process with 2;
  /// `--knee-help` prints a text and ends it with 0.
  Cluster(int& argc, char** argv);
  /// Throws Error::setup.
  explicit Cluster(ClusterOptions options);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  Bag bag(BagOptions options = {});

  /// A task outside any bag. Its failure, if nobody consumes it, is printed to stderr.
  /// Takes options first, as Bag::call does.
  template <auto f, class... Args>
  auto call(Args&&... args) {
    return any().call<f>(std::forward<Args>(args)...);
  }
  template <class Function, class... Args>
  auto call(Function&& function, Args&&... args) {
    return any().call(std::forward<Function>(function), std::forward<Args>(args)...);
  }

  /// Makes a value that travels to each slave once (see Shared).
  template <class T>
  Shared<std::remove_cvref_t<T>> share(T&& value) {
    detail::check_self_contained<std::remove_cvref_t<T>>();
    Shared<std::remove_cvref_t<T>> shared;
    detail::Bytes encoded;
    detail::encode(encoded, value);
    shared.blob_ = detail::make_shared_blob(std::move(encoded));
    shared.value_ = std::make_shared<const std::remove_cvref_t<T>>(std::forward<T>(value));
    return shared;
  }

  /// A reference to an object of this program, for tasks and objects elsewhere. What they call is
  /// carried out here, on the callback thread; through a reference that is used here at once. The
  /// object must outlive all of that; one that is shared is kept alive.
  template <class T>
  Ref<T> offer(T& object) {
    return Ref<T>(std::make_shared<detail::Shown<T>>(std::shared_ptr<T>(&object, [](T*) {})));
  }
  template <class T>
  Ref<T> offer(std::shared_ptr<T> object) {
    return Ref<T>(std::make_shared<detail::Shown<T>>(std::move(object)));
  }

  /// Callbacks, and calls of others on what is here, wait from now on until `resume_callbacks`;
  /// what is running ends first. Tasks go on, and their results are kept in memory, however many
  /// they are. The end of a Bag with open tasks, and of the cluster, resumes and runs what waits.
  void pause_callbacks();
  void resume_callbacks();

  /// The slave of that name: its `--name`, or the address as it was given (HOST or HOST:PORT).
  /// Never blocks; it may come later.
  Slave slave(const std::string& name);

  /// Names of the slaves that are connected now.
  std::vector<std::string> slaves() const;

  /// What the slaves are that this cluster knows, also those it could not reach, with the reason.
  /// Waits until each has answered or failed, at most `patience`. Not from a callback: it would
  /// hold up all others.
  std::vector<SlaveInfo> describe(
      std::chrono::nanoseconds patience = std::chrono::seconds(12)) const;

  /// Slots of all connected slaves.
  unsigned slots() const;

  /// Runs an executable on some slave.
  Promise<CommandResult> run(Command command, const TaskOptions& options = {}) {
    return any().run(std::move(command), options);
  }

 private:
  Slave any() { return Slave(site(), ""); }
  detail::CallSite site() const;

  std::unique_ptr<driver::Driver> driver_;
};

}  // namespace knee
