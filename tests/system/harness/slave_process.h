#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <knee/options.h>

#include "tests/system/harness/child_process.h"

namespace knee::test {

/// A real knee-slave with folders of its own, on a Unix socket or on a loopback port, or one that
/// dials drivers. All of a test program keep programs in one store, so that the first one alone has
/// to fetch the test program. Destruction kills it. One thread.
class SlaveProcess {
 public:
  struct Setup {
    std::string name = "gandalf";
    unsigned slots = 2;
    bool tcp = false;                  ///< 127.0.0.1 and a free port
    std::vector<std::string> dial{};   ///< addresses of drivers; it listens nowhere then
    std::vector<std::string> flags{};  ///< more of them
    std::map<std::string, std::string> environment{};
    bool start = true;
    bool own_store = false;  ///< empty, in its folder; also where flags say something of the store
    std::vector<std::string> around{};  ///< a command that runs knee-slave: {"nice"}
  };

  SlaveProcess() : SlaveProcess(Setup{}) {}
  explicit SlaveProcess(Setup setup);

  /// Starts it (again, at the same address) and waits until it listens, or has tried each driver
  /// it is to dial. Throws with its stderr if it ends instead.
  void start();
  /// Starts it without waiting for anything.
  void launch();
  /// SIGKILL.
  void kill() { process_->kill(); }

  /// The running process, or the one that ended last.
  ChildProcess& process() { return *process_; }
  const ChildProcess& process() const { return *process_; }
  pid_t pid() const { return process_->pid(); }
  const std::string& name() const { return setup_.name; }
  /// As a driver dials it; empty: the slave dials.
  const std::string& address() const { return address_; }
  unsigned port() const;
  std::string err() const { return process_->err(); }

  /// Where it keeps programs, its scratch folders ($TMPDIR) and its socket.
  std::string store() const;
  std::string scratch() const { return folder_ / "scratch"; }
  std::string folder() const { return folder_.path(); }

  /// Its keepers, workers and all they have started.
  std::vector<pid_t> family() const;
  /// The processes that run this program's code, one per busy or waiting slot.
  std::vector<pid_t> workers() const;
  /// Bytes of large arguments and results that it holds in memory, also half of one that is on its
  /// way.
  std::uint64_t value_bytes() const;

 private:
  bool is_ready() const;

  TemporaryFolder folder_;
  Setup setup_;
  std::string address_;
  std::optional<ChildProcess> process_;
};

/// Options of a driver that uses these slaves and prints no progress.
ClusterOptions reaching(const std::vector<const SlaveProcess*>& slaves);
ClusterOptions reaching(const SlaveProcess& slave);
/// The same; what is cancelled has hardly time to end by itself.
ClusterOptions impatient(const SlaveProcess& slave);
/// The same for slaves that dial this address.
ClusterOptions listening_on(const std::string& address);

/// What stands before a worker's arguments in its command line.
inline constexpr const char* kWorkerWord = "--of-system-test";

}  // namespace knee::test
