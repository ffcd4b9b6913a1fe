#include "fair_share.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace knee::slave {
namespace {

constexpr double kHalfLife = 30;  // seconds
/// Core-seconds too few to keep the memory of a driver that has gone.
constexpr double kForgotten = 0.01;
/// Core-seconds that one who holds a slot may be ahead of one who waits for it. To swap a slot
/// wakes two workers and a driver, which takes far longer than a task that does nothing.
constexpr double kTurn = 0.02;

double seconds(FairShare::Time::duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

FairShare::Client FairShare::add(const std::string& identity, std::uint32_t limit) {
  const Client client = ++last_;
  Session session{identity, limit == 0 ? slots_ : std::min(limit, slots_)};
  session.use = first_use(identity);
  identities_.try_emplace(identity);
  sessions_.emplace(client, std::move(session));
  return client;
}

/// What the least of its identity's sessions has used: one that begins with nothing would have all
/// slots until it has caught up with those that have run for hours.
FairShare::Use FairShare::first_use(const std::string& identity) const {
  const Use* least = nullptr;
  for (const auto& [client, session] : sessions_)
    if (session.identity == identity && (least == nullptr || session.use.used < least->used))
      least = &session.use;
  return least == nullptr ? Use{} : Use{least->used, least->at, 0};
}

void FairShare::remove(Client client, Time now) {
  const auto found = sessions_.find(client);
  if (found == sessions_.end()) return;
  give_back(client, found->second.use.holding, now);
  sessions_.erase(found);
  forget_faded(now);
}

void FairShare::forget_faded(Time now) {
  std::set<std::string> here;
  for (const auto& [client, session] : sessions_) here.insert(session.identity);
  for (auto it = identities_.begin(); it != identities_.end();) {
    const bool faded = !here.contains(it->first) && usage(it->second, now) < kForgotten;
    it = faded ? identities_.erase(it) : std::next(it);
  }
}

void FairShare::want(Client client, std::uint32_t cores) {
  auto& session = sessions_.at(client);
  if (session.wants == 0 && cores != 0) session.waiting_since = ++order_;
  session.wants = cores;
}

std::optional<FairShare::Client> FairShare::grant(Time now) {
  const auto chosen = next(now);
  if (chosen == sessions_.end() || chosen->second.wants > slots_ - busy_) return std::nullopt;
  auto& [client, session] = *chosen;
  for (auto* use : {&identities_.at(session.identity), &session.use}) {
    usage(*use, now);
    use->holding += session.wants;
  }
  busy_ += session.wants;
  session.wants = 0;
  return client;
}

void FairShare::give_back(Client client, std::uint32_t cores, Time now) {
  auto& session = sessions_.at(client);
  cores = std::min(cores, session.use.holding);
  for (auto* use : {&identities_.at(session.identity), &session.use}) {
    usage(*use, now);
    use->holding -= cores;
  }
  busy_ -= cores;
}

bool FairShare::should_yield(Client client, Time now) {
  const auto waiting = next(now);
  if (waiting == sessions_.end() || waiting->first == client) return false;
  auto& session = sessions_.at(client);
  const bool same = waiting->second.identity == session.identity;
  auto& mine = same ? session.use : identities_.at(session.identity);
  auto& theirs = same ? waiting->second.use : identities_.at(waiting->second.identity);
  // Yield only down to an equal number of slots, or two clients would swap the same slot for ever.
  if (mine.holding <= theirs.holding) return false;
  return mine.holding > theirs.holding + 1 || usage(mine, now) > usage(theirs, now) + kTurn;
}

std::uint32_t FairShare::limit(Client client) const {
  return sessions_.at(client).limit;
}

double FairShare::usage(Use& use, Time now) {
  if (now > use.at) {
    // Use at a constant rate r over a time dt, fading with rate k, adds r (1 - exp(-k dt)) / k.
    const double k = std::log(2) / kHalfLife;
    const double faded = use.at == Time{} ? 0 : std::exp(-k * seconds(now - use.at));
    use.used = use.used * faded + use.holding * (1 - faded) / k;
    use.at = now;
  }
  return use.used;
}

bool FairShare::comes_before(Session& one, Session& other, Time now) {
  const double of_one = usage(identities_.at(one.identity), now);
  const double of_other = usage(identities_.at(other.identity), now);
  if (of_one != of_other) return of_one < of_other;
  const double by_one = usage(one.use, now);
  const double by_other = usage(other.use, now);
  if (by_one != by_other) return by_one < by_other;
  return one.waiting_since < other.waiting_since;
}

std::map<FairShare::Client, FairShare::Session>::iterator FairShare::next(Time now) {
  auto best = sessions_.end();
  for (auto it = sessions_.begin(); it != sessions_.end(); ++it) {
    auto& session = it->second;
    if (session.wants == 0 || session.use.holding + session.wants > session.limit) continue;
    if (best == sessions_.end() || comes_before(session, best->second, now)) best = it;
  }
  return best;
}

}  // namespace knee::slave
