#include "common/program/launch.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <map>
#include <stdexcept>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/program/elf_file.h"
#include "common/program/elf_patch.h"
#include "common/program/file_name.h"

namespace knee::program {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInterpreterPath = "/proc/self/fd/999";
static_assert(Launch::kInterpreterDescriptor == 999);

// The executable has a folder to itself: it may have the name of a library.
constexpr const char* kExecutableFolder = "bin";
constexpr const char* kLibraryFolder = "lib";

constexpr const char* kLibrariesFromExecutable = "$ORIGIN/../lib";

constexpr mode_t kProgramMode = 0755;
constexpr mode_t kDataMode = 0644;

UniqueFd open_blob(const ShippedFile& file) {
  UniqueFd fd(::open(file.blob.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) throw_errno("cannot open '" + file.blob + "', the content of '" + file.name + "'");
  return fd;
}

bool is_noexec(const std::string& path) {
  struct statvfs status;
  return ::statvfs(path.c_str(), &status) == 0 && (status.f_flag & ST_NOEXEC) != 0;
}

void write_all(int fd, const char* data, std::size_t size, const std::string& path) {
  while (size > 0) {
    const ssize_t count = ::write(fd, data, size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) throw_errno("cannot write '" + path + "'");
    data += count;
    size -= static_cast<std::size_t>(count);
  }
}

// In the kernel where it can (some file systems then share the blocks), else through a buffer.
void copy_content(int from, int to, const std::string& path) {
  constexpr std::size_t kAtOnce = std::size_t{1} << 30;
  bool copied = false;
  for (;;) {
    const ssize_t count = ::copy_file_range(from, nullptr, to, nullptr, kAtOnce, 0);
    if (count < 0 && errno == ENOSPC) throw_errno("cannot write '" + path + "'");
    if (count < 0 || (count == 0 && !copied)) break;
    if (count == 0) return;
    copied = true;
  }
  std::vector<char> buffer(std::size_t{256} * 1024);
  for (;;) {
    const ssize_t count = ::read(from, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) return;
    if (count < 0) throw_errno("cannot read the content of '" + path + "'");
    write_all(to, buffer.data(), static_cast<std::size_t>(count), path);
  }
}

void copy(int blob, const std::string& path, mode_t mode, const std::vector<ElfPatch>& patches) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!fd) throw_errno("cannot create '" + path + "'");
  check(::lseek(blob, 0, SEEK_SET), "cannot rewind a blob");
  copy_content(blob, fd.get(), path);
  apply(patches, fd.get());
  // Against the umask: a worker may run as somebody else one day.
  if (::fchmod(fd.get(), mode) != 0) throw_errno("cannot set the mode of '" + path + "'");
}

template <class Is>
const ShippedFile* find_only(const std::vector<ShippedFile>& files, Is is, const char* what) {
  const ShippedFile* found = nullptr;
  for (const ShippedFile& file : files) {
    if (!is(file.role)) continue;
    if (found) throw std::runtime_error(std::string("a program cannot have two ") + what);
    found = &file;
  }
  return found;
}

void check_names(const std::vector<ShippedFile>& files) {
  std::map<std::string, const ShippedFile*> in_library_folder;
  for (const ShippedFile& file : files) {
    if (!is_file_name(file.name))
      throw std::runtime_error("a file of a program cannot be named '" + file.name + "'");
    if (is_executable(file.role)) continue;
    if (!in_library_folder.emplace(file.name, &file).second)
      throw std::runtime_error("a program cannot have two files named '" + file.name + "'");
  }
}

void check_target(const std::string& target) {
  if (target.empty() || target[0] != '/')
    throw std::runtime_error("cannot unpack a program in '" + target + "': not an absolute path");
  // These separate folders in LD_LIBRARY_PATH, or start a variable there.
  if (target.find_first_of(":;$") != std::string::npos)
    throw std::runtime_error("cannot unpack a program in '" + target +
                             "': the path of its folder holds one of : ; $; choose another folder");
  const std::string parent = fs::path(target).parent_path();
  if (is_noexec(parent))
    throw std::runtime_error("cannot run programs from '" + parent +
                             "': its file system is mounted noexec; choose a folder elsewhere");
}

// A folder that is removed unless it gets its final name.
class NewFolder {
 public:
  explicit NewFolder(const std::string& target) : path_(target + ".new-XXXXXX") {
    if (!::mkdtemp(path_.data())) throw_errno("cannot create the folder '" + path_ + "'");
    fs::permissions(path_, fs::perms(kProgramMode));
  }
  NewFolder(const NewFolder&) = delete;
  NewFolder& operator=(const NewFolder&) = delete;
  ~NewFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }

  std::string make_folder(const char* name) const {
    const fs::path folder = fs::path(path_) / name;
    fs::create_directory(folder);
    fs::permissions(folder, fs::perms(kProgramMode));
    return folder;
  }

  // Somebody else may have been faster: what he made is as good.
  void become(const std::string& target) {
    if (::rename(path_.c_str(), target.c_str()) == 0)
      path_.clear();
    else if (errno != EEXIST && errno != ENOTEMPTY)
      throw_errno("cannot rename '" + path_ + "' to '" + target + "'");
  }

 private:
  std::string path_;
};

class Unpacking {
 public:
  Unpacking(std::vector<ShippedFile> files, std::string target)
      : files_(std::move(files)), target_(std::move(target)) {
    // Of several names of one blob the first gets the file: the loader's, which must be executable.
    std::stable_sort(files_.begin(), files_.end(),
                     [](const auto& a, const auto& b) { return a.role < b.role; });
    check_names(files_);
    check_target(target_);
    const ShippedFile* executable = find_only(files_, is_executable, "executables");
    if (!executable) throw std::runtime_error("cannot start a program without an executable");
    const auto is_loader = [](FileRole role) { return role == FileRole::kLoader; };
    plan(*executable, find_only(files_, is_loader, "loaders"));
  }

  const Launch& launch() const { return launch_; }

  void make() const {
    NewFolder folder(target_);
    const std::string executables = folder.make_folder(kExecutableFolder);
    const std::string libraries = folder.make_folder(kLibraryFolder);
    std::map<std::string, std::string> names;  // first name of each blob in the library folder
    for (const ShippedFile& file : files_) {
      if (is_executable(file.role))
        place_executable(file, executables + "/" + file.name);
      else if (const auto [first, is_new] = names.emplace(file.blob, file.name); is_new)
        place(file, libraries + "/" + file.name);
      else
        // The loader must see one file, or it loads it twice.
        place_other_name(first->second, libraries + "/" + file.name);
    }
    folder.become(target_);
  }

 private:
  void plan(const ShippedFile& executable, const ShippedFile* loader) {
    const ElfFile elf = read_elf(open_blob(executable).get(), executable.name);
    launch_.executable = target_ + "/" + kExecutableFolder + "/" + executable.name;
    launch_.argv0 = executable.name;
    if (!elf.interpreter || executable.role == FileRole::kNative) return;
    if (!loader)
      throw std::runtime_error("cannot start '" + executable.name + "': it needs the loader '" +
                               elf.interpreter->path + "', which did not come with it");
    launch_.interpreter = target_ + "/" + kLibraryFolder + "/" + loader->name;
    launch_.library_folder = target_ + "/" + kLibraryFolder;
    const auto patch = interpreter_patch(elf, kInterpreterPath);
    launch_.through_loader = !patch || ::access("/proc/self/fd", X_OK) != 0;
    patches_ = search_patches(elf);
    if (launch_.through_loader) return;
    patches_.push_back(*patch);
    for (ElfPatch& more : folder_patches(elf, kLibrariesFromExecutable))
      patches_.push_back(std::move(more));
  }

  void place_executable(const ShippedFile& file, const std::string& path) const {
    place_program(open_blob(file).get(), path, patches_);
  }

  // What the kernel opens to execute must have the mode for it; the blob's own stays as it is.
  static void place_program(int blob, const std::string& path,
                            const std::vector<ElfPatch>& patches) {
    copy(blob, path, kProgramMode, patches);
  }

  static void place(const ShippedFile& file, const std::string& path) {
    const UniqueFd blob = open_blob(file);
    if (file.role == FileRole::kExtra) return place_extra(file, blob.get(), path);
    const ElfFile elf = read_elf(blob.get(), file.name);
    if (file.role == FileRole::kLoader) return place_program(blob.get(), path, {});
    place_data(search_patches(elf), blob.get(), path);
  }

  static void place_extra(const ShippedFile& file, int blob, const std::string& path) {
    try {
      const ElfFile elf = read_elf(blob, file.name);
      if (elf.interpreter || elf.type == ET_EXEC) return place_program(blob, path, {});
      place_data(search_patches(elf), blob, path);
    } catch (const ElfError&) {
      place_data({}, blob, path);  // data
    }
  }

  static void place_data(const std::vector<ElfPatch>& patches, int blob, const std::string& path) {
    copy(blob, path, kDataMode, patches);
  }

  static void place_other_name(const std::string& first, const std::string& path) {
    if (::symlink(first.c_str(), path.c_str()) != 0) throw_errno("cannot create '" + path + "'");
  }

  std::vector<ShippedFile> files_;
  std::string target_;
  Launch launch_;
  std::vector<ElfPatch> patches_;  // of the executable
};

}  // namespace

std::vector<std::string> Launch::arguments(std::vector<std::string> argv) const {
  if (argv.empty()) argv.push_back(argv0);
  if (!through_loader) return argv;
  // An empty list after --inhibit-rpath means: of every file.
  std::vector<std::string> all{interpreter, "--library-path", library_folder, "--inhibit-rpath",
                               "",          executable};
  all.insert(all.end(), argv.begin() + 1, argv.end());
  return all;
}

Launch materialize(const std::vector<ShippedFile>& files, const std::string& target) {
  const Unpacking unpacking(files, target);
  struct stat status;
  if (::stat(target.c_str(), &status) != 0) unpacking.make();
  return unpacking.launch();
}

}  // namespace knee::program
