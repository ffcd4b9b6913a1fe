#include "session_id.h"

#include <sys/random.h>

#include "common/base/check.h"

namespace knee::driver {

kj::Array<kj::byte> new_session_id() {
  auto id = kj::heapArray<kj::byte>(16);
  check(::getrandom(id.begin(), id.size(), 0), "cannot get random bytes");
  return id;
}

}  // namespace knee::driver
