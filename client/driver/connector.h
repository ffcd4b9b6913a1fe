#pragma once
#include <kj/async-io.h>

#include <string>
#include <vector>

#include <knee/options.h>

#include "common/rpc/address.h"
#include "common/rpc/connection.h"
#include "proto/slave.capnp.h"

namespace knee::driver {

/// A slave one can talk to.
struct Connected {
  proto::Slave::Client slave;
  std::string name;                     ///< as the slave calls itself
  kj::Own<rpc::Connection> connection;  ///< null: the slave dialed, somebody else holds it
  kj::Promise<void> disconnected;
  std::vector<std::string> cpu_flags{};  ///< of its processor, sorted; empty: not known
  /// Of a slave that dialed: letting go of it ends the connection.
  kj::Own<kj::PromiseFulfiller<void>> hold{};
};

/// A way to one slave. Lives on the RPC loop.
class Connector {
 public:
  virtual ~Connector() noexcept(false) = default;
  /// Rejects with a sentence that says what was tried.
  virtual kj::Promise<Connected> connect() = 0;
  /// For messages: an address, or what else it is.
  virtual std::string target() const = 0;
};

/// Dials an address.
kj::Own<Connector> dial(rpc::Address address, kj::AsyncIoContext& io);

/// Starts `knee-slave` on this machine, over a socket pair; it ends with this process.
kj::Own<Connector> local_slave(unsigned slots, kj::AsyncIoContext& io);

/// A slave that dials us, by its name: `connect` waits until it is offered.
class JoinedSlave final : public Connector {
 public:
  explicit JoinedSlave(std::string name) : name_(std::move(name)) {}
  kj::Promise<Connected> connect() override;
  std::string target() const override { return name_; }

  /// It has come (back). False: one with this name is here already.
  bool offer(Connected connected);

 private:
  std::string name_;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<Connected>>> waiting_;
  kj::Maybe<Connected> early_;
  bool here_ = false;
};

/// Where knee-slave is: $KNEE_SLAVE, beside this executable, where it was installed (as seen from
/// libknee.so, or by the path fixed then), PATH. Throws
/// Error::setup that lists where it was looked for.
std::string find_knee_slave();

/// What a slave's hello says of its processor.
std::vector<std::string> cpu_flags_of(proto::Hello::Reader hello);

/// Says hello on a fresh connection as a driver.
kj::Promise<Connected> greet(kj::Own<rpc::Connection> connection, kj::Timer& timer);
void fill_driver_hello(proto::Hello::Builder hello);

}  // namespace knee::driver
