#include "survey.h"

#include <algorithm>

#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

constexpr unsigned kRoundTrips = 5;
constexpr auto kLookAgain = 5 * kj::MILLISECONDS;

using Clock = std::chrono::steady_clock;

void take(proto::Description::Reader from, SlaveInfo& info) {
  info.name = from.getName();
  info.version = from.getVersion();
  info.architecture = from.getArchitecture();
  info.host = from.getHost();
  info.system = from.getSystem();
  info.kernel = from.getKernel();
  info.cores = from.getCores();
  info.slots = from.getSlots();
  info.slots_busy = from.getSlotsBusy();
  info.sessions = from.getSessions();
  info.memory_total = from.getMemoryTotal();
  info.memory_available = from.getMemoryAvailable();
  info.load = from.getLoad();
  info.draining = from.getDraining();
  info.up_time = std::chrono::nanoseconds(from.getUpTime());
  info.connected = true;
}

kj::Promise<void> ask(proto::Slave::Client slave, std::shared_ptr<SlaveInfo> info, unsigned times) {
  const auto asked = Clock::now();
  return slave.describeRequest().send().then(
      [slave, info, times, asked](auto&& answer) mutable -> kj::Promise<void> {
        const std::chrono::nanoseconds took = Clock::now() - asked;
        info->round_trip = info->connected ? std::min(info->round_trip, took) : took;
        take(answer.getDescription(), *info);
        if (times == 1) return kj::READY_NOW;
        return ask(kj::mv(slave), info, times - 1);
      });
}

kj::Promise<void> ask_when_there(SlaveLink& link, kj::Timer& timer,
                                 std::shared_ptr<SlaveInfo> info) {
  KJ_IF_MAYBE (slave, link.slave()) return ask(*slave, info, kRoundTrips);
  if (!link.last_error().empty()) {
    info->error = link.last_error();
    return kj::READY_NOW;
  }
  return timer.afterDelay(kLookAgain).then([&link, &timer, info] {
    return ask_when_there(link, timer, info);
  });
}

}  // namespace

kj::Promise<void> survey(SlaveLink& link, kj::Timer& timer, std::chrono::nanoseconds patience,
                         std::shared_ptr<SlaveInfo> info) {
  info->name = link.name();
  info->address = link.target();
  auto too_late = timer.afterDelay(patience.count() * kj::NANOSECONDS).then([info] {
    if (!info->connected) info->error = "no answer from " + info->address + " in time";
  });
  return ask_when_there(link, timer, info)
      .exclusiveJoin(kj::mv(too_late))
      .catch_([info](kj::Exception&& error) {
        info->connected = false;
        info->error = rpc::text_of(error);
      });
}

}  // namespace knee::driver
