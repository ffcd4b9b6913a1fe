#include <knee/detail/map.h>

#include "client/driver/driver.h"

namespace knee::detail {

Arrivals::Arrival Arrivals::pop(const CallSite& site) {
  const driver::Driver::Blocking blocking(*site.driver);
  std::unique_lock lock(mutex_);
  came_.wait(lock, [this] { return !arrivals_.empty(); });
  return *take();
}

}  // namespace knee::detail
