#pragma once
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace knee::config {

/// Throws knee::Error (setup) "PLACE: TEXT". The text says what is wrong and what to do.
[[noreturn]] void fail(const std::string& place, const std::string& text);

/// Without spaces, tabs and line ends at both ends.
std::string_view trimmed(std::string_view text);

/// The parts between separators, trimmed, empty ones too: "a,,b" has three.
std::vector<std::string> split(std::string_view text, char separator);

/// yes, true, on, 1 or no, false, off, 0, in any case of letters. Fails otherwise.
bool parse_switch(std::string_view text, const std::string& place);

/// 0 (all cores) to kMostSlots. Fails otherwise.
unsigned parse_slots(std::string_view text, const std::string& place);

/// Each slot is a process of its own: more than this is a slip of the finger.
inline constexpr unsigned kMostSlots = 10'000;

/// A number with its unit: 500ms, 1.5s, 2min, 1h, also us and ns; 0 needs none. Fails otherwise,
/// below zero, and above a year.
std::chrono::nanoseconds parse_duration(std::string_view text, const std::string& place);

/// Shorter ones would mostly measure how busy machines are.
inline constexpr std::chrono::milliseconds kShortestHeartbeat{100};

/// A duration from kShortestHeartbeat to an hour. Fails otherwise.
std::chrono::nanoseconds parse_heartbeat(std::string_view text, const std::string& place);
void check_heartbeat(std::chrono::nanoseconds heartbeat, const std::string& place);

/// Fails if it is not NAME=VALUE with a name.
void check_environment_entry(std::string_view text, const std::string& place);

/// The candidate with the fewest slips (a letter too many, too few, wrong, or two swapped); empty
/// if none is near.
std::string closest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace knee::config
