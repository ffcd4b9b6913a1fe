// Objects: the processes that they are made in, and what waits for a slave.
#include <algorithm>
#include <utility>

#include "client/call/task_access.h"
#include "client/driver/objects.h"
#include "client/driver/slave_link.h"

namespace knee::driver {
namespace {

using detail::Access;

/// Number of the Placement of objects for which nothing was said.
constexpr std::uint64_t kCommonPlace = 0;

/// The objects that a call needs before it can be sent: what it is on, and what it returns.
std::array<std::uint64_t, 2> objects_of(const ObjectCall& call) {
  return {call.target.object, call.returned};
}

}  // namespace

bool Objects::has_session(std::uint32_t slave) const {
  auto* link = surroundings_.link(slave);
  return link != nullptr && link->session() != nullptr;
}

std::vector<Objects::Place> Objects::places_on(std::uint32_t slave) const {
  std::vector<Place> places;
  for (auto i = roots_.lower_bound({slave, 0}); i != roots_.end() && i->first.first == slave; ++i)
    places.push_back(i->first);
  return places;
}

void Objects::move(std::uint32_t from, std::uint32_t to) {
  if (last_slave_ == from) last_slave_ = to;
  for (const auto& place : places_on(from)) {
    auto waiting = std::move(roots_.at(place).waiting);
    roots_.erase(place);
    auto& longer = roots_[{to, place.second}].waiting;
    std::move(waiting.begin(), waiting.end(), std::back_inserter(longer));
  }
}

void Objects::link_up(std::uint32_t slave) {
  for (const auto& place : places_on(slave))
    for (auto& task : std::exchange(roots_.at(place).waiting, {})) {
      const auto objects = objects_of(object_call(*task));
      send(std::move(task));
      waited_for(objects);
    }
  // What was given to others while its slave was away.
  for (auto& [id, entry] : entries_)
    if (entry.maker && entry.client == nullptr && entry.promised != nullptr &&
        surroundings_.settled(entry.place.first) == slave)
      make_again(entry);
}

void Objects::link_down(std::uint32_t slave) {
  for (const auto& place : places_on(slave)) close(place);
}

void Objects::close(const Place& place) {
  Root& root = roots_.at(place);
  for (auto& [id, entry] : entries_) {
    if (!entry.maker || entry.home != root.home) continue;
    entry.client = nullptr;
    entry.home = nullptr;
    entry.problem = std::make_shared<std::exception_ptr>();
  }
  root.home = nullptr;
  root.object = nullptr;
  // There are as many places as users make up.
  if (root.waiting.empty()) roots_.erase(place);
}

Objects::Root& Objects::open_root(const Place& place) {
  Root& root = roots_[place];
  if (root.object != nullptr) return root;
  auto* link = surroundings_.link(place.first);
  if (link == nullptr) return root;
  KJ_IF_MAYBE (session, link->session()) {
    link->listen();
    auto opened = session->openHomeRequest().send();
    root.home = std::make_shared<Home>(opened.getHome(), place.first, link->name(), false);
    root.object = opened.getRoot();
    circles_.watch(root.home);
    // What has died is not called again: the next object is made in a new process.
    const auto gone = [this, place, home = root.home] {
      const auto found = roots_.find(place);
      if (found != roots_.end() && found->second.home == home) close(place);
    };
    calls_->add(
        root.home->ended.addBranch().then([gone] { gone(); }, [gone](kj::Exception&&) { gone(); }));
  }
  return root;
}

void Objects::wait(Root& root, detail::TaskRef task) {
  for (const auto id : objects_of(object_call(*task)))
    if (const auto one = entries_.find(id); one != entries_.end()) ++one->second.awaited;
  root.waiting.push_back(std::move(task));
}

void Objects::give_up(std::optional<std::uint32_t> slave,
                      const std::function<std::exception_ptr(const detail::TaskState&)>& error) {
  for (auto& [place, root] : roots_) {
    if (slave && place.first != *slave) continue;
    for (auto& task : std::exchange(root.waiting, {})) {
      const auto why = error(*task);
      drop_waiting(std::move(task), why);
    }
  }
}

void Objects::drop_waiting(detail::TaskRef task, const std::exception_ptr& why) {
  break_promise(*task, why);
  waited_for(objects_of(object_call(*task)));
  Access::set_error(*task, why);
  surroundings_.complete(std::move(task));
}

void Objects::waited_for(const std::array<std::uint64_t, 2>& objects) {
  for (const auto id : objects) {
    const auto found = entries_.find(id);
    if (found == entries_.end()) continue;
    if (--found->second.awaited == 0 && found->second.dropped) forget(id);
  }
}

bool Objects::waits_for(std::uint32_t slave) const {
  const auto places = places_on(slave);
  return std::any_of(places.begin(), places.end(),
                     [this](const Place& place) { return !roots_.at(place).waiting.empty(); });
}

std::map<std::uint32_t, std::uint64_t> Objects::waiting() const {
  std::map<std::uint32_t, std::uint64_t> calls;
  for (const auto& [place, root] : roots_)
    if (!root.waiting.empty()) calls[place.first] += root.waiting.size();
  return calls;
}

void Objects::drop(const std::vector<std::uint64_t>& ids) {
  for (const auto id : ids) {
    const auto found = entries_.find(id);
    if (found == entries_.end()) continue;
    if (found->second.awaited != 0)
      found->second.dropped = true;
    else
      forget(id);
  }
}

void Objects::forget(std::uint64_t id) {
  const auto found = entries_.find(id);
  Entry gone = std::move(found->second);
  entries_.erase(found);
  end_later(std::move(gone.maker));
  if (!gone.home || --gone.home->objects != 0) return;
  // The root, too, keeps a process. Who made up a place may never come back to it.
  const Place place{surroundings_.settled(gone.place.first), gone.place.second};
  const auto root = roots_.find(place);
  if (root != roots_.end() && root->second.home == gone.home && place.second != kCommonPlace)
    close(place);
}

void Objects::end_later(std::shared_ptr<const void> what) {
  if (what) surroundings_.run({}, [what = std::move(what)] {});
}

kj::Promise<std::uint64_t> Objects::count(std::uint32_t slave) {
  auto sum = std::make_shared<std::uint64_t>(0);
  kj::Vector<kj::Promise<void>> counts;
  for (const auto& place : places_on(surroundings_.settled(slave))) {
    const auto& home = roots_.at(place).home;
    if (!home) continue;
    // One that is just ending has none.
    counts.add(home->client.countRequest().send().then(
        [sum](capnp::Response<proto::Home::CountResults> answer) { *sum += answer.getObjects(); },
        [](kj::Exception&&) {}));
  }
  return kj::joinPromises(counts.releaseAsArray()).then([sum] { return *sum; });
}

}  // namespace knee::driver
