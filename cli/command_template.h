#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace knee::cli {

/// A command line with places for arguments, as GNU parallel has them: {} the argument, {.} without
/// its extension,
/// {/} its last part, {//} its folder, {/.} the last part without extension, {#} the number of the
/// job; {2}, {2.} ... the same of the second argument. A plain value.
class CommandTemplate {
 public:
  /// `quote`: what is put in is quoted for a shell.
  explicit CommandTemplate(std::string text, bool quote = true)
      : text_(std::move(text)), quote_(quote) {}

  /// Adds " {}" if there is no place for an argument.
  void want_argument();

  std::string expand(const std::vector<std::string>& arguments, std::uint64_t number) const;

 private:
  std::string text_;
  bool quote_;
};

/// As it must be written for a shell to see it unchanged.
std::string shell_quoted(const std::string& text);

}  // namespace knee::cli
