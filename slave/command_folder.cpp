#include "command_folder.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <stdexcept>

#include "common/base/check.h"
#include "slave/working_folder.h"

namespace knee::slave {
namespace fs = std::filesystem;
namespace {

/// Outputs up to this size travel in the outcome, until all of them together are too many for a
/// message.
constexpr std::uint64_t kSmallFile = std::uint64_t{64} * 1024;
constexpr std::uint64_t kSmallFiles = std::uint64_t{4} * 1024 * 1024;
/// Each large one costs a descriptor until it was fetched.
constexpr std::size_t kMostLargeFiles = 10'000;
/// Of the process's descriptors, one in so many is left to workers, connections ... whatever
/// outputs of all commands wait to be fetched.
constexpr rlim_t kLeftToOthers = 4;
/// All of them are named in one message, and so is what is missing.
constexpr std::size_t kMostFiles = 20'000;
constexpr std::size_t kMostMissing = 10'000;

void write_all(int fd, const char* bytes, std::size_t size, const std::string& path) {
  while (size != 0) {
    const ssize_t written = ::write(fd, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw_errno("cannot write '" + path + "'");
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
}

/// The rest of `from` by hand, where the kernel cannot copy between these file systems.
void copy_by_hand(int from, int to, const std::string& path) {
  std::vector<char> buffer(256 * 1024);
  for (;;) {
    const ssize_t size = ::read(from, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) throw_errno("cannot read the blob of '" + path + "'");
    if (size == 0) return;
    write_all(to, buffer.data(), static_cast<std::size_t>(size), path);
  }
}

void copy_content(int from, int to, const std::string& path) {
  if (::ioctl(to, FICLONE, from) == 0) return;
  constexpr std::size_t kAtOnce = std::size_t{1} << 30;
  for (;;) {
    const ssize_t size = ::copy_file_range(from, nullptr, to, nullptr, kAtOnce, 0);
    if (size > 0) continue;
    if (size < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
      throw_errno("cannot write '" + path + "'");
    return copy_by_hand(from, to, path);
  }
}

/// Whether the store has it.
bool place_one(BlobStore& store, const std::string& folder, const CommandOrder::Input& input) {
  const auto pin = store.pin(input.digest);
  if (!pin) return false;
  const fs::path path = fs::path(folder) / input.name;
  fs::create_directories(path.parent_path());
  const UniqueFd from(::open(pin->path().c_str(), O_RDONLY | O_CLOEXEC));
  if (!from) throw_errno("cannot open the blob of '" + input.name + "'");
  const mode_t mode = input.executable ? 0777 : 0666;
  const UniqueFd to(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  if (!to) throw_errno("cannot make the input '" + path.string() + "'");
  copy_content(from.get(), to.get(), path);
  return true;
}

std::string path_variable(const CommandOrder& order) {
  for (const auto& entry : order.environment)
    if (entry.starts_with("PATH=")) return entry.substr(5);
  return "/usr/local/bin:/usr/bin:/bin";
}

bool is_executable_file(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         ::access(path.c_str(), X_OK) == 0;
}

/// As seen from the command's working folder. Empty: not found.
std::string find_in_path(const std::string& name, const std::string& path,
                         const std::string& folder) {
  for (std::size_t begin = 0; begin <= path.size();) {
    const auto end = std::min(path.find(':', begin), path.size());
    const fs::path place = fs::path(folder) / path.substr(begin, end - begin) / name;
    if (is_executable_file(place)) return place;
    begin = end + 1;
  }
  return {};
}

std::string read_whole(int fd, std::size_t size, const std::string& name) {
  std::string content(size, '\0');
  std::size_t done = 0;
  while (done < size) {
    const ssize_t got = ::read(fd, content.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("cannot read the output '" + name + "'");
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  content.resize(done);
  return content;
}

/// Whether it says nothing about the file.
bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM;
}

rlim_t most_descriptors() {
  rlimit files{};
  check(::getrlimit(RLIMIT_NOFILE, &files), "cannot ask for the limit of open files");
  return files.rlim_cur;
}

class Collector {
 public:
  explicit Collector(fs::path folder)
      : folder_(std::move(folder)), most_descriptors_(most_descriptors()) {}

  void collect(const std::string& name) {
    std::error_code error;
    const auto status = fs::status(folder_ / name, error);
    if (fs::is_directory(status)) return collect_below(name);
    if (!fs::is_regular_file(status) || !add(name)) miss(name);
  }

  CommandOutputs outputs;

 private:
  void collect_below(const std::string& name) {
    const fs::path top = folder_ / name;
    std::error_code error;
    std::vector<std::string> names;
    for (fs::recursive_directory_iterator at(top, error), end; !error && at != end;
         at.increment(error)) {
      std::error_code broken;  // a link that leads nowhere is no file
      // Not fs::relative, which gives the name of what a link leads to.
      if (at->is_regular_file(broken))
        names.push_back(fs::path(name) / at->path().lexically_relative(top));
    }
    if (is_shortage(error.value()))
      throw_errno("cannot read the output folder '" + name + "'", error.value());
    std::sort(names.begin(), names.end());
    for (const auto& one : names)
      if (!add(one)) miss(one);
    if (error) miss(name);
  }

  void miss(const std::string& name) {
    if (++missing_ <= kMostMissing)
      outputs.missing.push_back(name);
    else
      outputs.missing.back() = "(and " + std::to_string(missing_ - kMostMissing + 1) + " more)";
  }

  bool add(const std::string& name) {
    if (outputs.files.size() >= kMostFiles) return false;
    // A pipe or a device among the outputs must not hold up the thread.
    UniqueFd file(::open((folder_ / name).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file && is_shortage(errno)) throw_errno("cannot open the output '" + name + "'");
    struct stat status {};
    if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
    CommandOutput output;
    output.name = name;
    output.executable = (status.st_mode & 0111) != 0;
    output.size = static_cast<std::uint64_t>(status.st_size);
    if (output.size <= kSmallFile && small_ + output.size <= kSmallFiles) {
      small_ += output.size;
      output.content = read_whole(file.get(), output.size, name);
      output.size = output.content.size();
    } else {
      if (++large_ > kMostLargeFiles) return false;
      check_descriptor(file.get(), name);
      output.file = std::move(file);
    }
    outputs.files.push_back(std::move(output));
    return true;
  }

  /// The kernel gives the lowest free number: all below are in use, whoever has them.
  void check_descriptor(int fd, const std::string& name) const {
    if (static_cast<rlim_t>(fd) < most_descriptors_ - most_descriptors_ / kLeftToOthers) return;
    throw std::runtime_error(
        "cannot keep the output '" + name + "' until it is fetched: of the " +
        std::to_string(most_descriptors_) +
        " files that the slave may have open, only a quarter is left; let fewer outputs be longer "
        "than 64 KiB, or start knee-slave with a higher limit (ulimit -n)");
  }

  const fs::path folder_;
  const rlim_t most_descriptors_;
  std::uint64_t small_ = 0;
  std::size_t large_ = 0;
  std::size_t missing_ = 0;
};

}  // namespace

CommandFolder::CommandFolder(const std::string& scratch)
    : path_(make_working_folder(scratch, "command")) {}

std::optional<std::string> CommandFolder::place(BlobStore& store,
                                                const std::vector<CommandOrder::Input>& inputs) {
  const std::lock_guard lock(mutex_);
  for (const auto& input : inputs) {
    if (abandoned_) throw std::runtime_error("the command is not wanted any more");
    if (!place_one(store, path_, input)) return input.name;
  }
  return std::nullopt;
}

void CommandFolder::remove() {
  const std::lock_guard lock(mutex_);
  abandoned_ = true;
  remove_working_folder(path_);
}

std::string find_executable(const CommandOrder& order, const std::string& folder,
                            const std::string& slave) {
  const std::string& name = order.arguments[0];
  if (name.find('/') != name.npos) return name;
  for (const auto& input : order.inputs)
    if (fs::path(input.name).lexically_normal() == name) return folder + "/" + name;
  const std::string path = path_variable(order);
  const std::string found = find_in_path(name, path, folder);
  if (found.empty())
    throw std::runtime_error("slave " + slave + " has no program '" + name +
                             "': it is not among the command's inputs, nor an executable file in "
                             "its PATH (" +
                             path + ")");
  return found;
}

CommandOutputs collect_outputs(const std::string& folder, const std::vector<std::string>& names) {
  Collector collector(folder);
  for (const auto& name : names) collector.collect(name);
  return std::move(collector.outputs);
}

}  // namespace knee::slave
