#include "client/config/settings_file.h"

// The parser is compiled into this file: a driver ships its shared libraries, so each costs.
#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include <filesystem>
#include <optional>
#include <string>

#include "client/config/option_table.h"
#include "client/config/value.h"

namespace knee::config {
namespace {

class Reader {
 public:
  explicit Reader(const std::string& path)
      : path_(path), folder_(std::filesystem::path(path).parent_path()) {}

  void read(std::string_view key, const toml::source_position& at, const toml::node& node) {
    const Option* option = find_option(key);
    if (!option || option->shape == Shape::action) fail_unknown(key, at);
    const toml::array* array = several(*option) ? node.as_array() : nullptr;
    if (!array) return add(*option, node);
    for (const toml::node& element : *array) add(*option, element);
  }

  std::vector<Setting> take() { return std::move(settings_); }

  std::string place(const toml::source_position& at) const {
    return path_ + ":" + std::to_string(at.line);
  }

 private:
  static bool several(const Option& option) {
    return option.shape == Shape::addresses || option.shape == Shape::repeated;
  }

  static const char* wanted(const Option& option) {
    if (option.shape == Shape::toggle) return "true or false";
    if (option.shape == Shape::number) return "a number without quotes";
    return several(option) ? "a string in quotes or an array of such" : "a string in quotes";
  }

  static std::optional<std::string> text(const Option& option, const toml::node& node) {
    if (option.shape == Shape::toggle) {
      if (const auto* value = node.as_boolean()) return value->get() ? "yes" : "no";
    } else if (option.shape == Shape::number) {
      if (const auto* value = node.as_integer()) return std::to_string(value->get());
    } else if (const auto* value = node.as_string()) {
      return value->get();
    }
    return std::nullopt;
  }

  void add(const Option& option, const toml::node& node) {
    const std::string where = place(node.source().begin) + ": " + std::string(option.name);
    auto value = text(option, node);
    if (!value) fail(where, std::string("must be ") + wanted(option));
    settings_.push_back({&option, std::move(*value), where, folder_});
  }

  [[noreturn]] void fail_unknown(std::string_view key, const toml::source_position& at) const {
    std::vector<std::string> names;
    for (const Option& option : option_table())
      if (option.shape != Shape::action) names.emplace_back(option.name);
    const std::string near = closest(key, names);
    std::string all;
    for (const std::string& name : names) all += (all.empty() ? "" : ", ") + name;
    fail(place(at), "unknown key '" + std::string(key) + "'; " +
                        (near.empty() ? "the keys are " + all : "did you mean '" + near + "'?"));
  }

  const std::string path_;
  const std::string folder_;
  std::vector<Setting> settings_;
};

toml::table parse(const SettingsText& file, const Reader& reader) {
  try {
    return toml::parse(file.text, file.path);
  } catch (const toml::parse_error& error) {
    fail(reader.place(error.source().begin),
         "this is not TOML: " + std::string(error.description()));
  }
}

}  // namespace

std::vector<Setting> parse_settings(const SettingsText& file) {
  Reader reader(file.path);
  const toml::table table = parse(file, reader);
  for (const auto& [key, node] : table) reader.read(key.str(), key.source().begin, node);
  return reader.take();
}

}  // namespace knee::config
