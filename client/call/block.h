#pragma once
#include <kj/async.h>
#include <knee/value.h>

#include <memory>
#include <vector>

#include "proto/object.capnp.h"

/// Bytes that are too many for one message (proto::Block). On a KJ loop.
namespace knee::detail {

/// Lets others read these bytes of this process.
void offer_blocks(capnp::List<proto::Large>::Builder to, const std::vector<Content>& blocks);

using Contents = std::shared_ptr<std::vector<Content>>;
/// Reads all of them. Rejects if one is shorter than it was said to be, or does not fit in memory.
kj::Promise<Contents> fetch_blocks(capnp::List<proto::Large>::Reader blocks);

}  // namespace knee::detail
