#include <knee/detail/map.h>

#include "client/driver/driver.h"

namespace knee::detail {

Arrivals::Arrival Arrivals::pop(const CallSite& site, MapProgress& progress) {
  const driver::Driver::Blocking blocking(*site.driver);
  std::unique_lock lock(mutex_);
  while (!came_.wait_until(lock, progress.due(), [this] { return !arrivals_.empty(); })) {
    lock.unlock();
    progress.look();
    lock.lock();
  }
  return *take();
}

}  // namespace knee::detail
