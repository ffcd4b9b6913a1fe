#include "store_server.h"

#include <kj/debug.h>

#include "slave/byte_sink_server.h"

namespace knee::slave {

Digest digest_from(capnp::Data::Reader raw) {
  const auto digest =
      Digest::from_bytes({reinterpret_cast<const std::byte*>(raw.begin()), raw.size()});
  KJ_REQUIRE(digest.has_value(), "a digest has 32 bytes", raw.size());
  return *digest;
}

kj::Promise<void> StoreServer::lacking(LackingContext context) {
  std::vector<Digest> asked;
  for (const auto raw : context.getParams().getDigests()) asked.push_back(digest_from(raw));
  return disk_.run([this, asked = std::move(asked)] { return store_.lacking(asked); })
      .then([context](std::vector<Digest> missing) mutable {
        auto list = context.getResults().initDigests(static_cast<unsigned>(missing.size()));
        for (unsigned i = 0; i < list.size(); ++i)
          list.set(i, kj::arrayPtr(reinterpret_cast<const kj::byte*>(missing[i].bytes.data()),
                                   Digest::kSize));
      });
}

StoreServer::Begun StoreServer::begin(const Digest& digest, std::uint64_t size) {
  try {
    return {std::make_shared<BlobWriter>(store_.begin(digest, size)), {}};
  } catch (const StoreInUse& full) {
    return {nullptr, full.what()};
  }
}

kj::Promise<void> StoreServer::put(PutContext context) {
  const Digest digest = digest_from(context.getParams().getDigest());
  const auto size = context.getParams().getSize();
  return disk_.run([this, digest, size] { return begin(digest, size); })
      .then([this, context](Begun begun) mutable -> kj::Promise<void> {
        if (!begun.writer)
          return kj::Exception(kj::Exception::Type::OVERLOADED, "", 0,
                               kj::heapString(begun.in_use));
        context.getResults().setSink(kj::heap<BlobSinkServer>(
            disk_, std::move(*begun.writer),
            [&traffic = traffic_](std::uint64_t bytes) { traffic.received += bytes; }));
        return kj::READY_NOW;
      });
}

}  // namespace knee::slave
