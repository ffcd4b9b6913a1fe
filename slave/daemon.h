#pragma once
#include <kj/async-io.h>

#include <chrono>
#include <memory>
#include <set>
#include <string>

#include "common/rpc/connection.h"
#include "common/rpc/listener.h"
#include "slave/disk_pool.h"
#include "slave/options.h"
#include "slave/scratch_folder.h"
#include "slave/slave_server.h"
#include "slave/store/blob_store.h"

namespace knee::slave {

/// A running knee-slave: owns the loop and everything on it. Made and run by main's thread.
class Daemon final : public kj::TaskSet::ErrorHandler {
 public:
  /// Opens the store. Throws with a text for people when it cannot be had.
  /// `open_files`: soft limit of descriptors for workers and commands.
  Daemon(Options options, std::uint64_t open_files);
  ~Daemon();

  /// Listens, dials and serves until told to end: SIGTERM or SIGINT drains, a second one stops.
  /// Returns the exit code.
  int run();

 private:
  void taskFailed(kj::Exception&& error) override;

  kj::Promise<void> listen(const rpc::Address& address);
  kj::Promise<void> accept_from(rpc::Listener& listener);
  kj::Promise<void> dial(rpc::Address address, unsigned failures);
  kj::Promise<proto::Membership::Client> meet(rpc::Connection& connection);
  void serve(kj::Own<kj::AsyncIoStream> stream, const std::string& whom);
  kj::Promise<void> serve_inherited(int socket);
  /// Resolves when the connection has ended.
  kj::Promise<void> until_end(kj::Own<rpc::Connection> connection,
                              std::shared_ptr<const bool> greeted = nullptr);
  kj::Promise<void> watch_idle();
  /// Announces the end, and drains then.
  kj::Promise<void> live_for(std::chrono::seconds lifetime);
  kj::Promise<void> reap();
  void give_back_memory();
  kj::Promise<void> look_at_store();
  kj::Promise<void> wait_for_signal();
  kj::Promise<void> drained();
  void begin_drain();
  void grant();

  Options options_;
  // The loop takes calls with it that no driver waits for any more: sessions, pins and unfinished
  // blobs. So it ends before what these use, and after the jobs of `disk_`, which use the calls.
  BlobStore store_;
  process::Keepers keepers_;
  FairShare slots_;
  ScratchFolder scratch_;
  SlaveState state_;
  bool granting_ = false;
  kj::AsyncIoContext io_;
  DiskPool disk_;
  std::chrono::steady_clock::time_point given_back_{};  ///< `last_used` when that was done
  std::set<rpc::Connection*> connections_;
  kj::Own<kj::PromiseFulfiller<void>> end_;
  kj::Own<kj::TaskSet> tasks_;
};

}  // namespace knee::slave
