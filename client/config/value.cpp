#include "client/config/value.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>

#include <knee/error.h>

namespace knee::config {
namespace {

constexpr std::string_view kSpace = " \t\r\n\v\f";

struct Unit {
  std::string_view name;
  double nanoseconds;
};
constexpr std::array<Unit, 6> kUnits{
    {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"min", 60e9}, {"h", 3600e9}}};
constexpr double kYear = 366 * 24 * 3600e9;

std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

std::optional<double> nanoseconds_of(std::string_view text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  // Not `general`: the e of an exponent is no part of a duration.
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (error != std::errc() || !std::isfinite(number)) return std::nullopt;
  const std::string_view unit = trimmed({rest, static_cast<std::size_t>(end - rest)});
  if (unit.empty() && number == 0) return 0;
  for (const Unit& known : kUnits)
    if (known.name == unit) return number * known.nanoseconds;
  return std::nullopt;
}

// Optimal string alignment: Levenshtein's distance in which a swap of neighbours is one slip.
std::size_t slips(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      cost[i][j] = std::min(
          {cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

void fail(const std::string& place, const std::string& text) {
  throw Error(Error::Kind::setup, place + ": " + text);
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(kSpace);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const auto end = text.find(separator);
    parts.emplace_back(trimmed(text.substr(0, end)));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

bool parse_switch(std::string_view text, const std::string& place) {
  const std::string word = lower(trimmed(text));
  for (const char* yes : {"yes", "true", "on", "1"})
    if (word == yes) return true;
  for (const char* no : {"no", "false", "off", "0"})
    if (word == no) return false;
  fail(place, quoted(text) + " is neither yes nor no (yes, true, on, 1, no, false, off or 0)");
}

unsigned parse_slots(std::string_view text, const std::string& place) {
  const std::string_view digits = trimmed(text);
  unsigned slots = 0;
  const char* const end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, slots);
  if (digits.empty() || error != std::errc() || rest != end || slots > kMostSlots)
    fail(place, quoted(text) + " is not a number of slots (1 to " + std::to_string(kMostSlots) +
                    ", or 0 for all cores this process may use)");
  return slots;
}

std::chrono::nanoseconds parse_duration(std::string_view text, const std::string& place) {
  const auto duration = nanoseconds_of(trimmed(text));
  if (!duration)
    fail(place, quoted(text) +
                    " is not a duration: a number and its unit (ns, us, ms, s, min or h), such as "
                    "500ms or 2s");
  if (*duration < 0 || *duration > kYear)
    fail(place, quoted(text) + " is out of range: a duration is from 0 to a year");
  return std::chrono::nanoseconds(std::llround(*duration));
}

void check_heartbeat(std::chrono::nanoseconds heartbeat, const std::string& place) {
  if (heartbeat < kShortestHeartbeat || heartbeat > std::chrono::hours(1))
    fail(place, "out of range: a heartbeat is from 100ms to 1h");
}

std::chrono::nanoseconds parse_heartbeat(std::string_view text, const std::string& place) {
  const auto heartbeat = parse_duration(text, place);
  check_heartbeat(heartbeat, place + ": " + quoted(text));
  return heartbeat;
}

void check_environment_entry(std::string_view text, const std::string& place) {
  const auto equals = text.find('=');
  if (equals == text.npos || equals == 0)
    fail(place, quoted(text) + " is not NAME=VALUE, such as OMP_NUM_THREADS=1");
  if (text.find('\0') != text.npos) fail(place, "an environment entry cannot hold a zero byte");
}

std::string closest(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  std::size_t fewest = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t count = slips(word, candidate);
    if (count >= fewest) continue;
    fewest = count;
    best = candidate;
  }
  return best;
}

}  // namespace knee::config
