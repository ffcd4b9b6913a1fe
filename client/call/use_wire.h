#pragma once
#include <kj/async.h>
#include <knee/detail/use.h>

#include <functional>
#include <memory>
#include <optional>

#include "client/call/call_chain.h"
#include "client/call/exception_text.h"
#include "proto/object.capnp.h"

/// Uses of objects by names on their way between processes, with the objects and the large contents
/// that they refer to. On a KJ loop.
namespace knee::detail {

/// What a process has to say of the objects in messages.
struct ObjectDoors {
  /// A reference to an object that came in a message.
  std::function<kj::Promise<ObjectRef>(proto::Object::Client)> hold;
  /// The reverse. May throw.
  std::function<proto::Object::Client(const ObjectRef&)> offer;
};

/// What became of a use.
struct UseAnswer {
  UseResult result{};
  std::optional<ExceptionText> failed{};
};

/// Throws what cannot be sent.
void write_use(proto::Use::Builder to, const Use& use, const CallIdentity& identity,
               const ObjectDoors& doors);
/// About its size.
capnp::MessageSize size_of(const Use& use);
/// `from` lives as long as the promise. Fetches what is large.
kj::Promise<std::shared_ptr<Use>> read_use(proto::Use::Reader from, const ObjectDoors& doors);

using UseContext = capnp::CallContext<proto::Object::UseParams, proto::Object::UseResults>;
/// Answers. What cannot be sent becomes a failure.
void write_answer(UseContext& context, UseAnswer answer, Use::Wanted wanted,
                  const ObjectDoors& doors);
kj::Promise<std::shared_ptr<UseAnswer>> read_answer(capnp::Response<proto::Object::UseResults> from,
                                                    const ObjectDoors& doors);

}  // namespace knee::detail
