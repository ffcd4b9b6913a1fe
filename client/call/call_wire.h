#pragma once
#include <capnp/capability.h>
#include <kj/async.h>
#include <knee/detail/bytes.h>
#include <knee/detail/object.h>

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "client/call/call_chain.h"
#include "proto/object.capnp.h"

/// Calls of functions on objects on their way between processes, with the objects that they refer
/// to. What is too large for a message travels beside it, either way. On a KJ loop.
namespace knee::detail {

/// A function as Call has it.
struct CallPlace {
  std::uint32_t file = 0;
  std::uint64_t offset = 0;
  auto operator<=>(const CallPlace&) const = default;
};

/// Encoded arguments that can be read as long as anybody holds them.
using Arguments = std::shared_ptr<const Bytes>;

/// Sends a call. `offer`: objects as others see them.
capnp::RemotePromise<proto::Object::CallResults> send_call(
    proto::Object::Client& object, const CallPlace& place, const Arguments& arguments,
    const std::vector<ObjectRef>& objects, const CallIdentity& identity,
    const std::function<proto::Object::Client(const ObjectRef&)>& offer);

/// The arguments of a call. Nothing of the message is needed after this.
kj::Promise<Arguments> take_arguments(proto::Call::Reader call);

/// Answers that the function has returned. `with`: kept as long as others may read the result.
void write_result(proto::CallResult::Builder to, Bytes result,
                  std::shared_ptr<const void> with = nullptr);
/// About its size in a message.
capnp::MessageSize size_of_result(const Bytes& result);
/// What it returned. Of a result that is no exception; nothing of the message is needed after this.
kj::Promise<Bytes> read_result(proto::CallResult::Reader result);

}  // namespace knee::detail
