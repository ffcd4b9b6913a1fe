static constexpr int kFactor = 1000003;
#include "twin_body.h"

Twin twin_a() {
  return make_twin();
}
