#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <thread>

#include "common/rpc/connection.h"

namespace knee::test {

/// Serves doors at an address, in place of a slave, on a thread of its own, until its destruction.
class Peer {
 public:
  using MakeDoor = std::function<proto::Door::Client()>;
  Peer(std::string address, MakeDoor make_door);
  Peer(const Peer&) = delete;
  ~Peer();

 private:
  void serve(const std::string& address, const MakeDoor& make_door);

  std::atomic<bool> listens_ = false;
  std::atomic<bool> enough_ = false;
  std::thread thread_;
};

/// A slave that answers hello with another protocol than ours.
class FutureDoor final : public proto::Door::Server {
  kj::Promise<void> hello(HelloContext context) override;
};

/// Describes who speaks it.
void describe_future(proto::Hello::Builder hello, const std::string& name);

}  // namespace knee::test
