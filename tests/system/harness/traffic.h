#pragma once
#include <cstdint>

#include "tests/system/harness/slave_process.h"

namespace knee::test {

/// The bytes of programs, values and other blobs that a slave has received since it was started, as
/// it describes itself.
std::uint64_t received_by(const SlaveProcess& slave);

}  // namespace knee::test
