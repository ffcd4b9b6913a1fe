#pragma once
#include <kj/async.h>
#include <kj/timer.h>

#include <chrono>
#include <memory>

#include <knee/slave_info.h>

#include "client/driver/slave_link.h"

namespace knee::driver {

/// Asks the slave behind a link what it is, as soon as the link has one. Never rejects: what went
/// wrong is in the result, at the latest after `patience`. `link` outlives the promise. RPC loop.
kj::Promise<void> survey(SlaveLink& link, kj::Timer& timer, std::chrono::nanoseconds patience,
                         std::shared_ptr<SlaveInfo> info);

}  // namespace knee::driver
