#include "byte_sink_server.h"

#include <kj/debug.h>
#include <span>
#include <utility>

namespace knee::slave {

kj::Promise<void> BlobSinkServer::write(WriteContext context) {
  KJ_REQUIRE(!done_, "a write came after done");
  const auto bytes = context.getParams().getBytes();
  const std::span piece(reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size());
  received_(bytes.size());
  // Streaming calls come one at a time, and the context keeps the bytes until this one is done.
  return disk_.run([writer = writer_, piece] { writer->write(piece); });
}

kj::Promise<void> BlobSinkServer::done(DoneContext) {
  KJ_REQUIRE(!std::exchange(done_, true), "done was said before");
  return disk_.run([writer = writer_] { writer->commit(); });
}

kj::Promise<void> ValueSinkServer::write(WriteContext context) {
  const auto bytes = context.getParams().getBytes();
  KJ_REQUIRE(bytes.size() <= memory_.bytes().size() - written_,
             "more bytes of a value came than were announced");
  // Not through the mapping: the kernel would zero fresh pages first, and take a fault for each.
  channel::write_at(memory_.fd(), std::as_bytes(std::span(bytes.begin(), bytes.size())), written_);
  written_ += bytes.size();
  return kj::READY_NOW;
}

kj::Promise<void> ValueSinkServer::done(DoneContext) {
  KJ_REQUIRE(written_ == memory_.bytes().size(), "fewer bytes of a value came than were announced");
  done_(std::move(memory_));
  return kj::READY_NOW;
}

}  // namespace knee::slave
