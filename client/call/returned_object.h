#pragma once
#include <capnp/capability.h>
#include <kj/async.h>

#include <utility>

#include "proto/object.capnp.h"

/// The object that a call returns, for those who use it before the call is answered.
///
/// Cap'n Proto sends such calls after the first one at once, as far as to where the answer comes
/// from. If that turns out to lie behind who asked, on the driver, on another slave or in the same
/// process, calls that were sent there have to come back before others may take the short way
/// (rpc.capnp, Disembargo). With a slave in between both its connections do so at the same time,
/// and version 0.9.2 ends one of them: "'Disembargo' of type 'senderLoopback' sent to an object
/// that does not point back to the sender".
namespace knee::detail {

/// An object to which calls are sent as soon as the answer is here, and the answer.
template <class Results>
std::pair<proto::Object::Client, kj::Promise<capnp::Response<Results>>> returned_with_answer(
    capnp::RemotePromise<Results> sent) {
  auto later = kj::newPromiseAndFulfiller<proto::Object::Client>();
  auto& object = *later.fulfiller;
  auto answer = sent.then(
                        [&object](capnp::Response<Results> response) {
                          object.fulfill(response.getObject());
                          return response;
                        },
                        [&object](kj::Exception&& error) -> capnp::Response<Results> {
                          object.reject(kj::cp(error));
                          kj::throwFatalException(kj::mv(error));
                        })
                    .attach(kj::mv(later.fulfiller));
  return {proto::Object::Client(kj::mv(later.promise)), kj::mv(answer)};
}

}  // namespace knee::detail
