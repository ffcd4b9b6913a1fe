#include "slave/store/run_folder.h"

#include <cstdint>
#include <random>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "common/base/check.h"
#include "common/base/unique_fd.h"

namespace knee::slave {
namespace {

namespace fs = std::filesystem;

std::string random_name() {
  std::random_device random;
  return std::to_string(random()) + '-' + std::to_string(random());
}

UniqueFd open_folder(int parent, const std::string& name) {
  return UniqueFd(openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

UniqueFd make_folder(int parent, const std::string& name, const fs::path& path) {
  if (mkdirat(parent, name.c_str(), 0700) != 0) throw_errno("cannot create " + path.string());
  UniqueFd folder = open_folder(parent, name);
  if (!folder) throw_errno("cannot open " + path.string());
  return folder;
}

/// Whether the process that made a run folder has ended. Throws when in doubt: what a living one
/// has pinned must not be evicted.
bool is_dead(const UniqueFd& folder, const fs::path& path) {
  const UniqueFd alive(folder ? openat(folder.get(), "alive", O_RDWR | O_NOFOLLOW | O_CLOEXEC)
                              : -1);
  // The file is made under the store's lock, which is held now: who has none died before.
  if (!alive && errno == ENOENT) return true;
  if (alive && flock(alive.get(), LOCK_EX | LOCK_NB) == 0) return true;
  if (!alive || errno != EWOULDBLOCK)
    throw_errno("cannot tell whether " + path.string() + " is in use");
  return false;
}

}  // namespace

RunFolder::RunFolder(int run, const fs::path& path)
    : run_(run), path_(path / random_name()), folder_(make_folder(run, path_.filename(), path_)) {
  pins_ = make_folder(fd(), "pins", path_ / "pins");
  alive_ = UniqueFd(openat(fd(), "alive", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!alive_ || flock(alive_.get(), LOCK_EX | LOCK_NB) != 0)
    throw_errno("cannot lock " + (path_ / "alive").string());
}

RunFolder::~RunFolder() {
  remove_tree(path_);
}

std::string RunFolder::fresh_name() {
  const std::lock_guard lock(mutex_);
  return "new-" + std::to_string(names_++);
}

void RunFolder::pin(const std::string& name) {
  const std::lock_guard lock(mutex_);
  auto& count = counts_[name];
  if (count == 0) {
    const UniqueFd mark(
        openat(pins_.get(), name.c_str(), O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!mark) {
      const int error = errno;
      counts_.erase(name);
      throw_errno(
          "cannot protect a blob from eviction: cannot create " + (path_ / "pins" / name).string(),
          error);
    }
  }
  ++count;
}

void RunFolder::unpin(const std::string& name) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = counts_.find(name);
  if (found == counts_.end() || --found->second != 0) return;
  counts_.erase(found);
  unlinkat(pins_.get(), name.c_str(), 0);
}

std::set<std::string> RunFolder::pinned() {
  std::set<std::string> pins;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [name, count] : counts_) pins.insert(name);
  }
  for (const auto& folder : fs::directory_iterator(path_.parent_path())) {
    const auto name = folder.path().filename();
    if (name != path_.filename()) add_pins_of(name, pins);
  }
  return pins;
}

void RunFolder::add_pins_of(const std::string& name, std::set<std::string>& pins) {
  const fs::path path = path_.parent_path() / name;
  const UniqueFd folder = open_folder(run_, name);
  if (!folder && errno == ENOTDIR) return;  // not the store's
  if (is_dead(folder, path)) {
    remove_tree(path);
    ++removed_;
    return;
  }
  for (const auto& pin : fs::directory_iterator(path / "pins")) pins.insert(pin.path().filename());
}

std::error_code remove_tree(const fs::path& path) noexcept {
  std::error_code error;
  try {
    fs::remove_all(path, error);
    if (!error) return error;
    // Nobody but root can empty a read-only folder.
    fs::permissions(path, fs::perms::owner_all, fs::perm_options::add, error);
    for (fs::recursive_directory_iterator member(path, error), end; !error && member != end;
         member.increment(error))
      if (member->is_directory() && !member->is_symlink())
        fs::permissions(member->path(), fs::perms::owner_all, fs::perm_options::add);
    fs::remove_all(path, error);
  } catch (const fs::filesystem_error& failed) {
    error = failed.code();
  } catch (const std::exception&) {
    error = std::make_error_code(std::errc::not_enough_memory);
  }
  return error;
}

}  // namespace knee::slave
