// Objects: processes that wait for each other in a circle.
#include <algorithm>
#include <utility>
#include <vector>

#include "client/call/task_access.h"
#include "client/driver/failure.h"
#include "client/driver/objects.h"
#include "client/driver/wait_graph.h"

namespace knee::driver {
namespace {

constexpr const char* kCouldNeverBegin =
    "it could never begin: the process it was sent to waits for a call that waits for this one, "
    "itself or through others";

using Numbers = std::vector<std::uint64_t>;

Numbers numbers(capnp::List<std::uint64_t>::Reader list) {
  Numbers numbers;
  for (const std::uint64_t number : list) numbers.push_back(number);
  return numbers;
}

}  // namespace

/// One time of asking.
struct Objects::Look {
  struct Member {
    std::shared_ptr<Home> home;  ///< null: the callback thread
    Numbers behind;              ///< calls that wait for its own
  };
  detail::TaskRef awaited;  ///< by the callback thread; null: it waits for no call on an object
  WaitGraph graph;
  std::vector<Member> members;  ///< of the graph
};

std::set<std::shared_ptr<Objects::Home>> Objects::homes() const {
  std::set<std::shared_ptr<Home>> homes;
  for (const auto& [place, root] : roots_) homes.insert(root.home);
  for (const auto& [id, entry] : entries_) homes.insert(entry.home);
  homes.erase(nullptr);
  return homes;
}

void Objects::break_circles(const CallbackThread::HeldUp& callbacks) {
  auto look = std::make_shared<Look>();
  if (callbacks.by && callbacks.by->kind == detail::TaskState::Kind::method) {
    look->awaited = detail::Access::share(*callbacks.by);
    look_at(*look, nullptr, object_call(*callbacks.by).identity.number, callbacks.calls,
            callbacks.running);
  }
  for (const auto& home : homes()) {
    if (std::exchange(home->is_asked, true)) continue;  // it is busy, and so does not wait
    calls_->add(home->client.waitsRequest().send().then(
        [this, look, home](capnp::Response<proto::Home::WaitsResults> answer) {
          home->is_asked = false;
          if (answer.getCall() != 0)
            look_at(*look, home, answer.getCall(), numbers(answer.getBehind()),
                    numbers(answer.getWithin()));
        },
        [home](kj::Exception&&) { home->is_asked = false; }));
  }
}

void Objects::look_at(Look& look, const std::shared_ptr<Home>& home, std::uint64_t call,
                      const Numbers& behind, const Numbers& within) {
  look.members.push_back({home, behind});
  Numbers held_up = behind;
  held_up.insert(held_up.end(), within.begin(), within.end());
  const auto circle = look.graph.add(call, held_up);
  if (!circle.empty()) break_circle(look, circle);
}

void Objects::break_circle(const Look& look, const std::vector<std::size_t>& circle) {
  const auto after = [&](std::size_t i) -> const Look::Member& {
    return look.members[circle[(i + 1) % circle.size()]];
  };
  for (std::size_t i = 0; i < circle.size(); ++i)
    if (!look.members[circle[i]].home)
      return cancel(*look.awaited,
                    circular_error(*look.awaited, after(i).home ? after(i).home->slave : ""));
  // At least one of the calls has not begun: those that have belong to one chain, and who carries
  // out the last of them waits for none of the others.
  for (std::size_t i = 0; i < circle.size(); ++i) {
    const auto call = look.graph.call_of(circle[i]);
    const auto& holder = after(i);
    if (std::find(holder.behind.begin(), holder.behind.end(), call) == holder.behind.end())
      continue;
    auto request = holder.home->client.refuseRequest();
    request.setCall(call);
    request.setWhy(kCouldNeverBegin);
    return calls_->add(request.send().ignoreResult());
  }
}

}  // namespace knee::driver
