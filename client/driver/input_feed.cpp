#include "input_feed.h"

#include <utility>

#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

/// False: there is no use in more.
kj::Promise<bool> send_chunk(proto::Session::Client session, std::uint64_t task, InputChunk chunk,
                             InputSource& source) {
  auto request = session.writeStdinRequest(
      capnp::MessageSize{chunk.bytes.size() / sizeof(capnp::word) + 16, 0});
  request.setId(task);
  request.setBytes(
      kj::arrayPtr(reinterpret_cast<const kj::byte*>(chunk.bytes.data()), chunk.bytes.size()));
  request.setEnd(chunk.end);
  return request.send().then(
      [&source, end = chunk.end](capnp::Response<proto::Session::WriteStdinResults> answer) {
        if (answer.getClosed()) source.end();
        return !end && !answer.getClosed();
      });
}

kj::Promise<void> feed(proto::Session::Client session, std::uint64_t task,
                       std::shared_ptr<InputSource> source) {
  return source->next().then(
      [session = kj::mv(session), task, source](InputChunk chunk) mutable -> kj::Promise<void> {
        if (chunk.over) return kj::READY_NOW;
        return send_chunk(session, task, std::move(chunk), *source)
            .then([session, task, source](bool goes_on) mutable -> kj::Promise<void> {
              if (!goes_on) return kj::READY_NOW;
              return feed(kj::mv(session), task, std::move(source));
            });
      });
}

}  // namespace

kj::Promise<void> feed_input(proto::Session::Client session, std::uint64_t task,
                             std::shared_ptr<InputSource> source,
                             std::function<void(const std::string&)> complain) {
  return feed(kj::mv(session), task, source)
      .catch_([source, complain](kj::Exception&& error) -> kj::Promise<void> {
        if (error.getType() == kj::Exception::Type::DISCONNECTED) return kj::mv(error);
        source->end();
        complain("cannot go on with a command's standard input: " + rpc::text_of(error));
        return kj::READY_NOW;
      });
}

}  // namespace knee::driver
