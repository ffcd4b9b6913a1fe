#pragma once
#include <kj/array.h>

namespace knee::driver {

/// 16 random bytes that nobody can guess.
kj::Array<kj::byte> new_session_id();

}  // namespace knee::driver
