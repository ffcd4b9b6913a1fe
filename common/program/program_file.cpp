#include "common/program/program_file.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <stdexcept>

#include <fcntl.h>
#include <sys/stat.h>

#include "common/base/check.h"
#include "common/program/digest_cache.h"
#include "common/program/elf_file.h"
#include "common/program/file_name.h"
#include "common/program/loaded_module.h"
#include "common/program/module_identity.h"

namespace knee::program {
namespace {

constexpr const char* kSelf = "/proc/self/exe";

// The path the kernel knows for what is mapped at `address`: right when the loader's own name for
// it is relative and the working directory changed, or when the program runs under an interpreter
// (valgrind, "ld.so program"). Empty if unknown.
std::string mapped_path(std::uintptr_t address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    char dash = 0;
    std::istringstream words(line);
    words >> std::hex >> begin >> dash >> end;
    if (!words || address < begin || address >= end) continue;
    const auto slash = line.find('/');
    return slash == std::string::npos ? std::string() : line.substr(slash);
  }
  return {};
}

// The executable's path for people and for its name; a file that was deleted or replaced has a mark
// at its end.
std::string executable_path() {
  static constexpr std::string_view kDeleted = " (deleted)";
  std::error_code error;
  std::string path = std::filesystem::read_symlink(kSelf, error).string();
  if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
  return path.empty() ? "program" : path;
}

UniqueFd open_regular(const std::string& path, const std::string& doing) {
  // Not to hang on a FIFO that somebody names.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) throw_errno("cannot open '" + path + "' to " + doing);
  struct stat status;
  if (::fstat(fd.get(), &status) != 0) throw_errno("cannot examine '" + path + "'");
  if (!S_ISREG(status.st_mode))
    throw std::runtime_error("cannot " + doing + ": '" + path + "' is not a regular file");
  return fd;
}

// An open file of the program, and what it says of itself.
struct Source {
  std::string path;
  UniqueFd fd;
  ElfFile elf;
};

std::optional<Source> open_if_loaded_from(const LoadedModule& module, const std::string& path) {
  if (path.empty()) return std::nullopt;
  Source source{path, UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC)), {}};
  if (!source.fd) return std::nullopt;
  try {
    source.elf = read_elf(source.fd.get(), path);
  } catch (const ElfError&) {
    return std::nullopt;  // half written, or replaced by something else
  }
  if (!is_loaded_from(module, source.elf, source.fd.get())) return std::nullopt;
  return source;
}

Source open_source(const LoadedModule& module) {
  const bool executable = module.kind == LoadedModule::Kind::kExecutable;
  const std::string name = executable ? executable_path() : module.path;
  const std::string mapped = module.ranges.empty() ? "" : mapped_path(module.ranges[0].begin);
  for (const std::string& path : {executable ? std::string(kSelf) : module.path, mapped})
    if (auto source = open_if_loaded_from(module, path)) {
      if (path == kSelf) source->path = name;
      return std::move(*source);
    }
  open_regular(executable ? kSelf : module.path, "ship it with the program");
  throw std::runtime_error("cannot ship '" + name +
                           "': it was rebuilt while the program runs; restart the program");
}

FileRole role_of(const LoadedModule& module) {
  switch (module.kind) {
    case LoadedModule::Kind::kExecutable:
      return FileRole::kExecutable;
    case LoadedModule::Kind::kLoader:
      return FileRole::kLoader;
    case LoadedModule::Kind::kLibrary:
      break;
  }
  return FileRole::kLibrary;
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// The list that describe_program() builds.
class Description {
 public:
  explicit Description(DigestCache& cache) : cache_(cache) {}

  void add_loaded(const std::vector<LoadedModule>& modules) {
    std::vector<Source> sources;
    for (const LoadedModule& module : modules) {
      sources.push_back(open_source(module));
      add_loaded(module, sources.back());
    }
    // The executable goes first, the loader second, whatever the order in memory.
    std::stable_sort(files_.begin(), files_.end(),
                     [](const auto& a, const auto& b) { return a.role < b.role; });
    for (const LoadedModule& user : modules)
      for (const std::string& needed : user.needed) add_other_name(needed, modules, sources);
  }

  void add_extra(const std::string& path) {
    UniqueFd fd = open_regular(path, "ship it with the program");
    const std::string name = base_name(path);
    const std::string soname = shared_object_name(fd.get(), path);
    if (!soname.empty() && soname != name) add(FileRole::kExtra, soname, path, fd.get());
    add(FileRole::kExtra, name, path, fd.get());
  }

  void add_native(const std::string& path) {
    const UniqueFd fd = open_regular(path, "ship it");
    add(FileRole::kNative, base_name(path), path, fd.get());
  }

  std::vector<ProgramFile> take() { return std::move(files_); }

 private:
  void add_loaded(const LoadedModule& module, const Source& source) {
    const bool executable = module.kind == LoadedModule::Kind::kExecutable;
    add(role_of(module), executable ? base_name(source.path) : module.name, source.path,
        source.fd.get());
    const std::string soname = module.soname;
    if (!executable && soname != module.name && is_file_name(soname))
      add(FileRole::kLibrary, soname, source.path, source.fd.get());
  }

  // A library may need another by a name that is neither that one's SONAME nor how it was first
  // found; the loader then sees that it is the same file. Such a name is looked for where the
  // libraries are.
  void add_other_name(const std::string& needed, const std::vector<LoadedModule>& modules,
                      const std::vector<Source>& sources) {
    const std::string name = base_name(needed);
    if (has_library(name)) return;
    for (std::size_t i = 0; i < modules.size(); ++i) {
      if (modules[i].kind != LoadedModule::Kind::kLibrary) continue;
      const auto beside = std::filesystem::path(modules[i].path).parent_path() / name;
      struct stat there, here;
      if (::stat(beside.c_str(), &there) == 0 && ::fstat(sources[i].fd.get(), &here) == 0 &&
          same_file(there, here))
        return add(FileRole::kLibrary, name, beside, sources[i].fd.get());
    }
  }

  bool has_library(const std::string& name) const {
    return std::any_of(files_.begin(), files_.end(), [&name](const ProgramFile& file) {
      return file.role != FileRole::kExecutable && file.name == name;
    });
  }

  static std::string shared_object_name(int fd, const std::string& path) {
    try {
      const std::string soname = read_elf(fd, path).first_name(DT_SONAME);
      return is_file_name(soname) ? soname : std::string();
    } catch (const ElfError&) {
      return {};  // data
    }
  }

  void add(FileRole role, const std::string& name, const std::string& path, int fd) {
    ProgramFile file{role, name, path, UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 3)), {}, 0};
    if (!file.fd) throw_errno("cannot keep '" + path + "' open");
    file.digest = cache_.digest_of(fd, path);
    struct stat status;
    if (::fstat(fd, &status) != 0) throw_errno("cannot examine '" + path + "'");
    file.size = static_cast<std::uint64_t>(status.st_size);
    if (is_new(file)) files_.push_back(std::move(file));
  }

  // All but the executable share one folder on the node.
  bool is_new(const ProgramFile& file) const {
    if (file.role == FileRole::kExecutable) return true;
    for (const ProgramFile& other : files_) {
      if (other.role == FileRole::kExecutable || other.name != file.name) continue;
      if (other.digest == file.digest) return false;
      throw std::runtime_error("cannot ship both '" + other.path + "' and '" + file.path +
                               "': they differ, but the program knows both as '" + file.name +
                               "'; rename one of them");
    }
    return true;
  }

  DigestCache& cache_;
  std::vector<ProgramFile> files_;
};

}  // namespace

std::vector<ProgramFile> describe_program(const std::vector<std::string>& ship,
                                          DigestCache& cache) {
  Description description(cache);
  description.add_loaded(loaded_modules());
  for (const std::string& path : ship) description.add_extra(path);
  return description.take();
}

std::vector<ProgramFile> describe_program(const std::vector<std::string>& ship) {
  DigestCache cache(DigestCache::default_path());
  auto files = describe_program(ship, cache);
  cache.save();
  return files;
}

std::vector<ProgramFile> describe_native(const std::string& path) {
  DigestCache cache(DigestCache::default_path());
  Description description(cache);
  description.add_native(path);
  cache.save();
  return description.take();
}

std::size_t index_of_module(const std::vector<ProgramFile>& files, const std::string& module) {
  const auto found = std::find_if(files.begin(), files.end(), [&module](const ProgramFile& file) {
    const bool executable = file.role == FileRole::kExecutable;
    return module.empty() ? executable : !executable && file.name == module;
  });
  return static_cast<std::size_t>(found - files.begin());
}

std::string module_of(const ProgramFile& file) {
  return file.role == FileRole::kExecutable ? "" : file.name;
}

}  // namespace knee::program
