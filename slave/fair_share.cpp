#include "fair_share.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace knee::slave {
namespace {

constexpr double kHalfLife = 30;  // seconds
/// Core-seconds too few to keep the memory of a driver that has gone.
constexpr double kForgotten = 0.01;

double seconds(FairShare::Time::duration d) {
  return std::chrono::duration<double>(d).count();
}

}  // namespace

FairShare::Client FairShare::add(const std::string& identity, std::uint32_t limit) {
  const Client client = ++last_;
  identities_.try_emplace(identity);
  sessions_.emplace(client, Session{identity, limit == 0 ? slots_ : std::min(limit, slots_)});
  return client;
}

void FairShare::remove(Client client, Time now) {
  const auto found = sessions_.find(client);
  if (found == sessions_.end()) return;
  give_back(client, found->second.holding, now);
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
  auto& identity = identities_.at(session.identity);
  usage(identity, now);
  identity.holding += session.wants;
  session.holding += session.wants;
  busy_ += session.wants;
  session.wants = 0;
  return client;
}

void FairShare::give_back(Client client, std::uint32_t cores, Time now) {
  auto& session = sessions_.at(client);
  auto& identity = identities_.at(session.identity);
  cores = std::min(cores, session.holding);
  usage(identity, now);
  identity.holding -= cores;
  session.holding -= cores;
  busy_ -= cores;
}

bool FairShare::should_yield(Client client, Time now) {
  const auto& session = sessions_.at(client);
  const auto waiting = next(now);
  if (waiting == sessions_.end() || waiting->second.identity == session.identity) return false;
  auto& mine = identities_.at(session.identity);
  auto& theirs = identities_.at(waiting->second.identity);
  // Yield only down to an equal number of slots, or two clients would swap the same slot for ever.
  if (mine.holding <= theirs.holding) return false;
  return mine.holding > theirs.holding + 1 || usage(mine, now) > usage(theirs, now);
}

std::uint32_t FairShare::limit(Client client) const {
  return sessions_.at(client).limit;
}

double FairShare::usage(Identity& identity, Time now) const {
  if (now > identity.at) {
    // Use at a constant rate r over a time dt, fading with rate k, adds r (1 - exp(-k dt)) / k.
    const double k = std::log(2) / kHalfLife;
    const double faded = identity.at == Time{} ? 0 : std::exp(-k * seconds(now - identity.at));
    identity.used = identity.used * faded + identity.holding * (1 - faded) / k;
    identity.at = now;
  }
  return identity.used;
}

std::map<FairShare::Client, FairShare::Session>::iterator FairShare::next(Time now) {
  auto best = sessions_.end();
  double least = 0;
  for (auto it = sessions_.begin(); it != sessions_.end(); ++it) {
    const auto& session = it->second;
    if (session.wants == 0 || session.holding + session.wants > session.limit) continue;
    const double used = usage(identities_.at(session.identity), now);
    if (best == sessions_.end() || used < least ||
        (used == least && session.waiting_since < best->second.waiting_since)) {
      best = it;
      least = used;
    }
  }
  return best;
}

}  // namespace knee::slave
