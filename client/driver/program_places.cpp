#include "program_places.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <system_error>

namespace knee::driver {
namespace {

namespace fs = std::filesystem;

/// Of libknee.so; empty if the library is part of the executable.
fs::path library_folder() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&find_program), &info) == 0) return {};
  const auto path = fs::path(info.dli_fname);
  return path.filename().string().starts_with("libknee.so") ? path.parent_path() : fs::path();
}

std::vector<fs::path> candidates(const ProgramPlaces& places) {
  if (const char* named = std::getenv(places.variable); named && *named) return {named};
  std::vector<fs::path> all;
  std::error_code ignored;
  all.push_back(fs::read_symlink("/proc/self/exe", ignored).parent_path() / places.name);
  if (const auto folder = library_folder(); !folder.empty())
    all.push_back((folder / places.from_library).lexically_normal());
  all.emplace_back(places.installed);
  if (places.built != nullptr) all.emplace_back(places.built);
  if (const char* path = std::getenv("PATH")) {
    const std::string folders = path;
    for (std::size_t begin = 0; begin <= folders.size();) {
      const auto end = std::min(folders.find(':', begin), folders.size());
      if (end != begin) all.push_back(fs::path(folders.substr(begin, end - begin)) / places.name);
      begin = end + 1;
    }
  }
  return all;
}

}  // namespace

std::string find_program(const ProgramPlaces& places, std::string& looked) {
  const auto all = candidates(places);
  for (const auto& place : all)
    if (::access(place.c_str(), X_OK) == 0 && fs::is_regular_file(place)) return place;
  for (const auto& place : all) looked += "\n  " + place.string();
  return {};
}

}  // namespace knee::driver
