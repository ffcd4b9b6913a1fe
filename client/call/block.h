#pragma once
#include <kj/async.h>
#include <knee/detail/bytes.h>
#include <knee/value.h>

#include <memory>
#include <optional>
#include <vector>

#include "proto/object.capnp.h"

/// Bytes that are too many for one message (proto::Block). On a KJ loop.
namespace knee::detail {

/// Whether so many bytes travel in their message.
constexpr bool is_inline(std::size_t size) {
  constexpr std::size_t kMostInline = std::size_t{256} * 1024;
  return size <= kMostInline;
}

/// Lets others read these bytes of this process.
void offer_block(proto::Large::Builder to, const Content& content);
void offer_blocks(capnp::List<proto::Large>::Builder to, const std::vector<Content>& blocks);

/// Reads them. Rejects if there are fewer than was said, or they do not fit in memory.
kj::Promise<std::shared_ptr<Bytes>> fetch_block(proto::Large::Reader block);

using Contents = std::shared_ptr<std::vector<Content>>;
/// The same for all of them. If they are said to be numbers, each is a vector of these
/// (`sole_vector`): who wants one need not copy it.
kj::Promise<Contents> fetch_blocks(capnp::List<proto::Large>::Reader blocks,
                                   std::optional<Element> numbers = std::nullopt);

}  // namespace knee::detail
