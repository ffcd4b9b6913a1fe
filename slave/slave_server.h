#pragma once
#include <chrono>
#include <memory>
#include <set>
#include <string>

#include "proto/slave.capnp.h"
#include "slave/disk_pool.h"
#include "slave/session_server.h"
#include "slave/store_server.h"

namespace knee::slave {

/// What every connection of one slave shares. Owned by the daemon.
struct SlaveState {
  SlaveContext context;
  DiskPool& disk;
  BlobStore& store;
  std::set<Session*> sessions;
  bool draining = false;
  std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_used = started;  ///< a session was there
  StoreTraffic traffic{};
  std::int64_t ends_at = 0;  ///< Unix time in seconds; 0: it has no end
};

/// The `Slave` that one driver sees. It dies with the driver's last reference.
class SlaveServer final : public proto::Slave::Server {
 public:
  SlaveServer(SlaveState& state, std::string identity)
      : state_(state), identity_(std::move(identity)) {}

  kj::Promise<void> describe(DescribeContext context) override;
  kj::Promise<void> store(StoreContext context) override;
  kj::Promise<void> openSession(OpenSessionContext context) override;

 private:
  void refuse_if_draining() const;

  SlaveState& state_;
  std::string identity_;
};

/// The slave's `Door`: one per connection.
class DoorServer final : public proto::Door::Server {
 public:
  /// `greeted` becomes true when the other side has said hello.
  explicit DoorServer(SlaveState& state,
                      std::shared_ptr<bool> greeted = std::make_shared<bool>(false))
      : state_(state), greeted_(std::move(greeted)) {}
  kj::Promise<void> hello(HelloContext context) override;

 private:
  SlaveState& state_;
  std::shared_ptr<bool> greeted_;
};

/// The Hello of this slave.
void fill_hello(proto::Hello::Builder hello, const SlaveState& state);

}  // namespace knee::slave
