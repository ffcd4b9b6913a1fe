static constexpr int kFactor = 2000029;
#include "twin_body.h"

Twin twin_b() {
  return make_twin();
}
