#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <knee/options.h>

#include "client/config/setting.h"
#include "client/config/surroundings.h"
#include "common/rpc/address.h"

namespace knee::config {

/// Options while they are being put together.
struct Draft {
  struct PlacedAddress {
    rpc::Address address;
    std::string text;  ///< as it was typed
    std::string place;
  };
  ClusterOptions options;
  std::vector<PlacedAddress> dialed;
  std::vector<PlacedAddress> listened;
};

/// How an option is written. In knee.toml a switch is a boolean, a number an integer, all others
/// are strings, and what may be given several times is also an array of strings.
enum class Shape {
  addresses,  ///< several times, or several separated by commas; "none" for none
  repeated,   ///< several times; in a variable one per line
  single,     ///< once; the last counts
  number,     ///< as single
  toggle,     ///< --knee-NAME and --knee-no-NAME
  action      ///< prints something and ends the process; on the command line only
};

/// A row of the table from which the command line, the variables, knee.toml and the help are read.
struct Option {
  std::string_view name;   ///< slots: --knee-slots, KNEE_SLOTS, slots = in knee.toml
  std::string_view value;  ///< what stands for the value in the help; empty: none
  Shape shape;
  std::string_view group;    ///< a stronger place replaces all of a group; most are alone in theirs
  std::string_view text;     ///< what it does, its default and unit
  std::string_view example;  ///< what follows the name: "=VALUE", " VALUE" or nothing
  void (*apply)(const Setting&, const Surroundings&, Draft&);  ///< null for an action
};

/// All options, in the order of the help. Lives as long as the process.
std::span<const Option> option_table();

/// Null if there is none of that name.
const Option* find_option(std::string_view name);

/// The option's text, with the options it speaks of named as the prefix wants.
std::string option_text(const Option& option, std::string_view prefix);

/// "cancel-grace" -> "KNEE_CANCEL_GRACE"
std::string variable_name(const Option& option);

}  // namespace knee::config
