#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/process/descriptor.h"
#include "common/process/news.h"
#include "common/process/spawn_plan.h"

namespace knee::process {

class Keepers;

/// The slave's hold on one keeper: a small process that starts a command, waits for it and kills
/// all it leaves. Owned by whoever owns the worker; made by Keepers::start and not to outlive that.
/// One thread uses a Keepers and all its Keeper objects. No call blocks but wait_for_ending.
///
/// Destruction closes the control socket: the keeper then kills the command and every descendant
/// and ends by itself, at once but not before the destructor returns.
class Keeper {
 public:
  Keeper(Keeper&& other) noexcept;
  Keeper& operator=(Keeper&& other) noexcept;
  ~Keeper();

  /// Becomes readable when there is news. An event loop observes it and calls read_news() until
  /// that gives none. After KeeperGone it stays readable for good: stop observing. Borrowed.
  [[nodiscard]] int control() const { return control_.get(); }

  /// The next news, none if there is none yet, or none will come any more because KeeperGone has
  /// been given. Throws std::system_error if the socket fails.
  std::optional<News> read_news();

  /// SIGKILL: kills the worker and every descendant. Any other signal goes to the worker and the
  /// processes in its group. Nothing happens if the worker has ended.
  void kill_worker(int signal);

  /// None before Started was read. After the DeathRecord was read the number may mean another.
  [[nodiscard]] std::optional<pid_t> worker_pid() const { return worker_; }
  [[nodiscard]] pid_t keeper_pid() const { return keeper_; }

 private:
  friend class Keepers;
  Keeper(Keepers& owner, Descriptor control, pid_t keeper);
  void note(const News& news);
  News end();

  Keepers* owner_;
  Descriptor control_;
  /// 0 once handed over to owner_ to be waited for.
  pid_t keeper_;
  std::optional<pid_t> worker_;
  bool explained_ = false;
};

/// Starts keepers and waits for the ended ones. A slave has one, for its whole life.
///
/// A keeper is this process's own executable run again, so main() must begin with
/// `if (is_keeper(argc, argv)) return keeper_main();` (keeper_main.h). It is a child of this
/// process; nobody else may wait for "any child" here.
///
/// Who waits for a keeper: when it has ended or its Keeper is destroyed, its number goes to a list
/// here, and start() and reap() do a non-blocking waitpid for each on it. So at most the keepers
/// that ended since the last of these calls are zombies; call reap() on a slow timer. Numbers on
/// the list cannot be reused, and no pidfd is needed (kernel 5.3). Destruction waits for none.
///
/// Limits. A keeper killed by SIGKILL takes its worker with it (PR_SET_PDEATHSIG), and the slave
/// then kills the worker's process group; descendants that had left that group live on. Processes
/// of another user (set-user-id programs) may be out of reach for signals.
class Keepers {
 public:
  /// Finds this process's own executable: /proc/self/exe, which works even if the file has been
  /// replaced, or, without /proc, the path it was started by.
  Keepers();
  virtual ~Keepers() = default;
  Keepers(const Keepers&) = delete;
  Keepers& operator=(const Keepers&) = delete;

  /// Starts a keeper that starts `plan`. Returns before the command runs; that it runs or why it
  /// does not comes as news. Takes about a millisecond. The thread that calls this should live as
  /// long as the process (a keeper gets a signal when it ends, and then looks twice).
  /// Throws std::invalid_argument for an impossible plan, std::system_error if there are no
  /// descriptors or processes to be had.
  virtual Keeper start(const SpawnPlan& plan);

  /// Waits for ended keepers without blocking.
  void reap();
  /// Keepers that end or have ended and were not yet waited for.
  [[nodiscard]] std::size_t ending() const { return ending_.size(); }
  /// Blocks until every keeper on that list has ended, and with it its tree, or `patience` is over:
  /// for a slave about to exit that has dropped its Keeper objects. True if all are gone.
  bool wait_for_ending(std::chrono::milliseconds patience);

 protected:
  /// For a test that plays keepers: the hold on one of process number `keeper`, at the other end of
  /// `control`.
  Keeper hold(Descriptor control, pid_t keeper) { return {*this, std::move(control), keeper}; }

 private:
  friend class Keeper;
  void take_over(pid_t keeper);

  std::string executable_;
  std::vector<pid_t> ending_;
};

}  // namespace knee::process
