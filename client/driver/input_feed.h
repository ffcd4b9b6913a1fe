#pragma once
#include <kj/async.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "client/driver/input_source.h"
#include "proto/slave.capnp.h"

namespace knee::driver {

/// Moves a live input to its command, a chunk after the other was taken, until one of them has
/// ended. RPC loop; to be dropped when the connection is lost. Rejects only if the connection has
/// broken; a slave that cannot do it ends the input, and `complain` gets a sentence.
kj::Promise<void> feed_input(proto::Session::Client session, std::uint64_t task,
                             std::shared_ptr<InputSource> source,
                             std::function<void(const std::string&)> complain);

}  // namespace knee::driver
