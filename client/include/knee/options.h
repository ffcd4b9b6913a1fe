#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace knee {

/// How a task is to be run. Everything has a default; a call's options come before its bag's.
struct TaskOptions {
  /// Slots it takes on its slave while it runs. Default 1.
  std::optional<unsigned> cores = std::nullopt;
  /// Longest run time; then its worker is killed. Default: none.
  std::optional<std::chrono::nanoseconds> timeout = std::nullopt;
  /// Try again after a timeout. Default: a timeout is final.
  std::optional<bool> retry_timeouts = std::nullopt;
  /// Starts in all, when workers crash or slaves go away. Default 3. With 1 a task is never run
  /// twice.
  std::optional<unsigned> attempts = std::nullopt;
  /// It does no harm to run it twice at once: a task that lags gets a twin elsewhere, the first
  /// result wins; not with one attempt, nor a task of one slave. Default: no.
  std::optional<bool> repeatable = std::nullopt;
  /// What to call it in messages. Default: the function's name.
  std::string name = {};
};

/// Where a cluster gets its slaves, and how it behaves. `Cluster(argc, argv)` fills it from the
/// command line, the environment and ~/.config/knee/knee.toml.
struct ClusterOptions {
  /// Addresses of slaves to dial: HOST, HOST:PORT, [IPV6]:PORT or unix:PATH.
  /// No slaves and no `listen`: a local slave is started.
  std::vector<std::string> slaves;
  /// Where slaves that dial may come: HOST:PORT, :PORT or unix:PATH. Empty: nowhere.
  std::vector<std::string> listen;
  /// Slots of the local slave; 0: the cores this process may use.
  unsigned slots = 0;
  /// Start a local slave beside the others.
  bool local = false;
  /// Allow TCP, which today is open to everybody who reaches it (SECURITY.md).
  bool insecure = false;
  /// Files that travel with the program besides its executable and shared libraries, such as
  /// plugins that are dlopened.
  std::vector<std::string> ship;
  /// "NAME=value" for the workers, over the slave's own environment.
  std::vector<std::string> environment;
  /// Whether to show a progress line while a bag is waited for. Default: if stderr is a terminal.
  std::optional<bool> progress = std::nullopt;
  /// How long a running task may take to notice that it is cancelled before it is killed.
  std::chrono::nanoseconds cancel_grace = std::chrono::seconds(1);
  /// How often each slave is asked whether it still answers, at least 100 ms: it is suspect after 3
  /// such beats without an answer and lost after 10. Shorter finds dead machines sooner, and takes
  /// slow ones for dead.
  std::chrono::nanoseconds heartbeat = std::chrono::seconds(2);
  /// Run commands only: the program itself does not travel, so slaves may be of any architecture,
  /// and calls of functions are refused.
  bool commands_only = false;
  /// argv for the workers; set by `Cluster(argc, argv)`.
  std::vector<std::string> arguments;
};

}  // namespace knee
