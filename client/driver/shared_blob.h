#pragma once
#include <knee/shared.h>

namespace knee::detail {

struct SharedBlob {
  DigestBytes digest;
  Bytes bytes;
};

}  // namespace knee::detail
