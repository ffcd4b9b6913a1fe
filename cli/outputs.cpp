#include "cli/outputs.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <stdexcept>
#include <string>

#include "common/base/check.h"
#include "common/base/unique_fd.h"

namespace knee::cli {
namespace {

namespace fs = std::filesystem;

void save(const OutputFile& file) {
  const fs::path path(file.name);
  // The name came over a network.
  for (const auto& part : path)
    if (path.is_absolute() || part == "..")
      throw std::runtime_error("a slave sent a file with the name '" + file.name +
                               "', which leads out of the current folder");
  if (path.has_parent_path()) fs::create_directories(path.parent_path());
  const mode_t mode = file.executable ? 0777 : 0666;
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (!fd) throw_errno("cannot write the output '" + file.name + "'");
  for (std::size_t done = 0; done < file.content.size();) {
    const auto written = ::write(fd.get(), file.content.data() + done, file.content.size() - done);
    if (written < 0 && errno != EINTR) throw_errno("cannot write the output '" + file.name + "'");
    if (written > 0) done += static_cast<std::size_t>(written);
  }
}

}  // namespace

void save_outputs(const CommandResult& result) {
  for (const auto& file : result.files) save(file);
  if (result.missing.empty()) return;
  std::string names;
  for (const auto& name : result.missing) names += (names.empty() ? "'" : ", '") + name + "'";
  throw std::runtime_error("the command made no file " + names);
}

}  // namespace knee::cli
