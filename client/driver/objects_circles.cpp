// Objects: processes that wait for each other in a circle.
#include <algorithm>
#include <optional>
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
  std::set<std::uint64_t> suspected;
  detail::TaskRef awaited;  ///< by the callback thread; null: it waits for no call on an object
  WaitGraph graph;
  std::vector<Member> members;  ///< of the graph
};

void Objects::watch(std::shared_ptr<Home> home) {
  homes_.insert(home);
  calls_->add(home->ended.addBranch().catch_([](kj::Exception&&) {}).then([this, home] {
    homes_.erase(home);
  }));
}

void Objects::look_for_circles(std::set<std::uint64_t> suspected) {
  auto look = std::make_shared<Look>();
  look->suspected = std::move(suspected);
  const auto callbacks = surroundings_.held_up();
  if (callbacks.by && callbacks.by->kind == detail::TaskState::Kind::method) {
    look->awaited = detail::Access::share(*callbacks.by);
    look_at(*look, nullptr, object_call(*callbacks.by).identity.number, callbacks.calls,
            callbacks.running);
  }
  for (const auto& home : homes_) {
    // Who has not answered is busy, or out of reach; neither is a wait that is known.
    if (std::exchange(home->is_asked, true)) continue;
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
  if (circle.empty()) return;
  std::set<std::uint64_t> calls;
  for (const auto member : circle) calls.insert(look.graph.call_of(member));
  if (calls == look.suspected)
    break_circle(look, circle);
  else
    look_for_circles(std::move(calls));
}

void Objects::break_circle(const Look& look, const std::vector<std::size_t>& circle) {
  const auto after = [&](std::size_t i) -> const Look::Member& {
    return look.members[circle[(i + 1) % circle.size()]];
  };
  std::optional<std::size_t> not_begun;  // whose call has arrived at the next one, and waits there
  std::optional<std::size_t> callback_thread;
  for (std::size_t i = 0; i < circle.size(); ++i) {
    const auto& behind = after(i).behind;
    if (std::find(behind.begin(), behind.end(), look.graph.call_of(circle[i])) != behind.end())
      not_begun = i;
    if (!look.members[circle[i]].home) callback_thread = i;
  }
  // Calls that have begun belong to one chain, and so do not wait for each other.
  if (!not_begun) return;
  if (callback_thread) {
    const auto& home = after(*callback_thread).home;
    cancel(*look.awaited, circular_error(*look.awaited, home ? home->slave : ""));
  } else {
    auto request = after(*not_begun).home->client.refuseRequest();
    request.setCall(look.graph.call_of(circle[*not_begun]));
    request.setWhy(kCouldNeverBegin);
    calls_->add(request.send().ignoreResult());
  }
}

}  // namespace knee::driver
