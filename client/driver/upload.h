#pragma once
#include <kj/async.h>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <memory>
#include <string>

#include <knee/shared.h>

#include "common/base/digest.h"
#include "common/base/unique_fd.h"
#include "common/rpc/byte_stream.h"
#include "proto/slave.capnp.h"

namespace knee::driver {

/// How rpc::offload posts to a pool.
inline auto on(boost::asio::thread_pool& pool) {
  return [&pool](auto job) { boost::asio::post(pool, std::move(job)); };
}

inline capnp::Data::Reader bytes_of(const Digest& digest) {
  return {reinterpret_cast<const kj::byte*>(digest.bytes.data()), digest.bytes.size()};
}

inline capnp::Data::Reader bytes_of(const detail::DigestBytes& digest) {
  return {reinterpret_cast<const kj::byte*>(digest.data()), digest.size()};
}

/// A file on its way into a store.
struct Upload {
  std::string path;  ///< for messages
  int fd = -1;       ///< open for reading; whoever has `owner` keeps it open
  Digest digest;
  std::uint64_t size = 0;
  std::shared_ptr<const void> owner;
};

/// Puts the file into the store; reads it on the pool. RPC loop.
kj::Promise<void> upload(proto::Store::Client store, boost::asio::thread_pool& disk, Upload file,
                         rpc::Heard heard);

}  // namespace knee::driver
