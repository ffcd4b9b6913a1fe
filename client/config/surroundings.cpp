#include "client/config/surroundings.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "client/config/value.h"
#include "common/base/unique_fd.h"

namespace knee::config {
namespace {

// A home folder that may not be entered (a job under another user that kept HOME) counts as empty:
// whether a file is in it cannot be known. A file that is there and may not be read is an error.
bool absent(const std::string& path, int error) {
  return error == ENOENT || error == ENOTDIR ||
         (error == EACCES && ::access(path.c_str(), F_OK) != 0);
}

std::optional<SettingsText> read_settings() {
  const std::string path = settings_path(process_variable);
  if (path.empty()) return std::nullopt;
  try {
    return SettingsText{path, read_whole(path)};
  } catch (const std::system_error& error) {
    if (absent(path, error.code().value())) return std::nullopt;
    fail(path, "cannot read it: " + error.code().message() +
                   "; make it readable, or set XDG_CONFIG_HOME to another folder");
  }
}

}  // namespace

std::optional<std::string> process_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  return value ? std::optional<std::string>(value) : std::nullopt;
}

Surroundings process_surroundings() {
  return {process_variable, read_whole, read_settings()};
}

std::string settings_path(
    const std::function<std::optional<std::string>(const std::string& name)>& variable) {
  // The XDG base directory specification: a relative path is to be ignored.
  if (const auto folder = variable("XDG_CONFIG_HOME"); folder && folder->starts_with('/'))
    return *folder + "/knee/knee.toml";
  if (const auto home = variable("HOME"); home && !home->empty())
    return *home + "/.config/knee/knee.toml";
  return {};
}

std::string read_whole(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) throw std::system_error(errno, std::generic_category(), path);
  std::string text;
  char part[4096];
  for (;;) {
    const ssize_t count = ::read(file.get(), part, sizeof part);
    if (count == 0) return text;
    if (count > 0)
      text.append(part, static_cast<std::size_t>(count));
    else if (errno != EINTR)
      throw std::system_error(errno, std::generic_category(), path);
  }
}

}  // namespace knee::config
