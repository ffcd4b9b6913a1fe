#include "client/config/scan.h"

#include <optional>

#include "client/config/option_table.h"
#include "client/config/value.h"

namespace knee::config {
namespace {

constexpr std::string_view kNo = "no-";

// One argument taken apart: --knee-no-local is {local's row, negated}.
struct Found {
  const Option* option;
  bool negated;
  std::optional<std::string> value;
};

class Scanner {
 public:
  Scanner(std::span<const std::string> arguments, std::string_view prefix)
      : arguments_(arguments), prefix_(prefix) {}

  Scan run() {
    while (at_ < arguments_.size()) {
      const std::string& argument = arguments_[at_];
      if (at_ > 0 && argument == "--") break;
      if (at_ == 0 || !argument.starts_with(prefix_))
        scan_.kept.push_back(at_++);
      else if (take(parse(argument)), scan_.show != Scan::Show::nothing)
        return std::move(scan_);
    }
    while (at_ < arguments_.size()) scan_.kept.push_back(at_++);
    return std::move(scan_);
  }

 private:
  Found parse(const std::string& argument) const {
    const auto equals = argument.find('=');
    const std::string written = argument.substr(0, equals);
    const std::string_view name = std::string_view(written).substr(prefix_.size());
    std::optional<std::string> value;
    if (equals != argument.npos) value = argument.substr(equals + 1);
    if (const Option* option = find_option(name)) return {option, false, std::move(value)};
    if (name.starts_with(kNo))
      if (const Option* option = find_option(name.substr(kNo.size()));
          option && option->shape == Shape::toggle)
        return {option, true, std::move(value)};
    fail_unknown(written, name);
  }

  void take(Found found) {
    ++at_;
    if (found.option->shape == Shape::action)
      take_action(found);
    else if (found.option->shape == Shape::toggle)
      take_toggle(std::move(found));
    else
      take_value(std::move(found));
  }

  void take_action(const Found& found) {
    if (found.value) fail(place(found), "takes no value");
    scan_.show = found.option->name == "help" ? Scan::Show::help : Scan::Show::version;
  }

  void take_toggle(Found found) {
    if (found.negated && found.value) fail(place(found), "takes no value");
    add(found, found.value ? *found.value : found.negated ? "no" : "yes");
  }

  void take_value(Found found) {
    if (!found.value) {
      // What looks like another option is one: `--knee-slaves --knee-local` forgot its list.
      const bool missing = at_ == arguments_.size() || arguments_[at_] == "--" ||
                           arguments_[at_].starts_with(prefix_);
      if (missing)
        fail(place(found), "its value is missing; write for example " + place(found) +
                               std::string(found.option->example));
      found.value = arguments_[at_++];
    }
    add(found, *found.value);
  }

  void add(const Found& found, std::string value) {
    scan_.settings.push_back({found.option, std::move(value), place(found), {}});
  }

  std::string place(const Found& found) const {
    return std::string(prefix_) + (found.negated ? "no-" : "") + std::string(found.option->name);
  }

  [[noreturn]] void fail_unknown(const std::string& written, std::string_view name) const {
    std::vector<std::string> names;
    for (const Option& option : option_table()) {
      names.emplace_back(option.name);
      if (option.shape == Shape::toggle) names.push_back("no-" + std::string(option.name));
    }
    const std::string near = closest(name, names);
    fail(written, "there is no such option; " +
                      (near.empty() ? "" : "did you mean " + std::string(prefix_) + near + "? ") +
                      std::string(prefix_) + "help lists them all");
  }

  std::span<const std::string> arguments_;
  std::string_view prefix_;
  std::size_t at_ = 0;
  Scan scan_;
};

}  // namespace

Scan scan_arguments(std::span<const std::string> arguments, std::string_view prefix) {
  return Scanner(arguments, prefix).run();
}

}  // namespace knee::config
