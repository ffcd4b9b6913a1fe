#include "slave/store/shelf.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>

#include "common/base/check.h"
#include "common/base/size_text.h"
#include "slave/store/blob_writer.h"
#include "slave/store/store_pin.h"

namespace knee::slave {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostReports = 1000;  // a caller that never takes them must not cost memory

std::int64_t now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

/// The name of a pin, in RunFolder.
std::string pin_name(const EntryKey& key) {
  return static_cast<char>(key.kind) + key.file_name();
}

std::string limit_advice(std::uint64_t limit) {
  return "the store's limit is " + size_text(limit) +
         "; start knee-slave with a larger --store-size";
}

}  // namespace

Shelf::Held::Held(Shelf& shelf) : shelf_(shelf), lock_(shelf.folder_) {
  shelf_.index_.refresh();
}

Shelf::Held::~Held() {
  shelf_.index_.flush();
}

Shelf::Shelf(const fs::path& folder, std::uint64_t size_limit)
    : size_limit_(size_limit), folder_(folder), index_(folder_.fd(), folder_.path()) {
  const Held held(*this);
  run_.emplace(folder_.run(), folder_.path() / "run");
  run_->pinned();
  if (run_->removed() > 0)
    report(false, "removed what " + std::to_string(run_->removed()) +
                      " dead process(es) left unfinished in " + folder_.path().string());
  if (folder_.noexec())
    report(true, "programs cannot be started from " + folder_.path().string() +
                     ": its file system is mounted noexec; choose another folder with --store");
  reconcile();
  shrink(held);
}

Shelf::~Shelf() {
  try {
    const Held held(*this);
    run_.reset();
  } catch (const std::exception&) {
    run_.reset();  // the folder is gone or unreadable: there is nothing to keep others from
  }
}

int Shelf::folder_of(EntryKind kind) const {
  return kind == EntryKind::blob ? folder_.blobs() : folder_.derived();
}

fs::path Shelf::path_of(const EntryKey& key) const {
  return folder_.path() / (key.kind == EntryKind::blob ? "blobs" : "derived") / key.file_name();
}

/// Makes the index agree with the disk: a process may have died between the two.
void Shelf::reconcile() {
  std::map<EntryKey, Entry> unseen = index_.entries();
  for (const EntryKind kind : {EntryKind::blob, EntryKind::derived}) {
    const EntryKey any{kind, {}, 0};
    for (const auto& file : fs::directory_iterator(path_of(any).parent_path())) {
      const std::string name = file.path().filename();
      const auto key = EntryKey::from_file_name(kind, name);
      if (!key) continue;  // not the store's
      if (unseen.erase(*key) == 0) learn_of(*key, folder_of(kind), name);
    }
  }
  for (const auto& [key, entry] : unseen) index_.remove(key);
}

void Shelf::learn_of(const EntryKey& key, int folder, const std::string& name) {
  struct stat status;
  if (fstatat(folder, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return;
  const std::int64_t used_ns =
      std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  const std::uint64_t disk_bytes = key.kind == EntryKind::blob
                                       ? disk_bytes_of(static_cast<std::uint64_t>(status.st_size))
                                       : seal_of_folder(path_of(key)).disk_bytes;
  index_.put(key, {.disk_bytes = disk_bytes, .used_ns = used_ns});
}

bool Shelf::exists(const Held&, const EntryKey& key) {
  struct stat status;
  const int folder = folder_of(key.kind);
  if (fstatat(folder, key.file_name().c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (errno != ENOENT) throw_errno("cannot look at " + path_of(key).string());
  index_.remove(key);
  return false;
}

bool Shelf::is_good_blob(const Held&, const EntryKey& key) const {
  const Entry* entry = index_.find(key);
  if (entry == nullptr || entry->boot != this_boot()) return false;
  struct stat status;
  return fstatat(folder_.blobs(), key.file_name().c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0 &&
         S_ISREG(status.st_mode) && seal_of(status) == entry->seal;
}

bool Shelf::is_good_folder(const Held&, const EntryKey& key) const {
  const Entry* entry = index_.find(key);
  if (entry == nullptr || entry->boot != this_boot()) return false;
  try {
    return seal_of_folder(path_of(key)).seal == entry->seal;
  } catch (const std::system_error&) {
    return false;  // not there, or something in it cannot be read
  }
}

StorePin Shelf::pin(const Held& held, const EntryKey& key) {
  // The pin comes last: should anything throw after it, it would want the lock that is held here.
  touch(held, key);
  run_->pin(pin_name(key));
  return StorePin(*this, key);
}

void Shelf::touch(const Held&, const EntryKey& key) {
  index_.touch(key, now_ns());
}

void Shelf::unpin(const EntryKey& key) noexcept {
  try {
    const Held held(*this);
    touch(held, key);
  } catch (const std::exception&) {
    // Then it counts as used when it was pinned.
  }
  run_->unpin(pin_name(key));
}

void Shelf::adopt(const Held&, const EntryKey& key, const fs::path& fresh,
                  std::uint64_t disk_bytes) {
  if (renameat(run_->fd(), fresh.filename().c_str(), folder_of(key.kind),
               key.file_name().c_str()) != 0)
    throw_errno("cannot move " + fresh.string() + " to " + path_of(key).string());
  index_.put(key, {.disk_bytes = disk_bytes, .used_ns = now_ns()});
}

void Shelf::seal(const Held&, const EntryKey& key, const Seal& seal, std::uint64_t disk_bytes) {
  const Entry* known = index_.find(key);
  const std::int64_t used_ns = known != nullptr ? known->used_ns : now_ns();
  index_.put(key, {disk_bytes, used_ns, this_boot(), seal});
}

void Shelf::discard(const Held&, const EntryKey& key) {
  const fs::path trash = fresh_path();
  // By way of a name that nobody looks up, so that a folder goes in one step. Kept in the index if
  // it stays, to be counted.
  if (renameat(folder_of(key.kind), key.file_name().c_str(), run_->fd(),
               trash.filename().c_str()) != 0 &&
      errno != ENOENT)
    return report(true, "cannot remove " + path_of(key).string() + ": " +
                            std::generic_category().message(errno));
  index_.remove(key);
  remove_tree(trash);
}

/// Least recently used first, what nobody has pinned, until there is enough.
Shelf::Victims Shelf::victims(std::uint64_t disk_bytes) {
  const auto pinned = run_->pinned();
  std::vector<std::pair<std::int64_t, EntryKey>> by_use;
  for (const auto& [key, entry] : index_.entries()) by_use.emplace_back(entry.used_ns, key);
  std::sort(by_use.begin(), by_use.end());
  Victims victims;
  for (const auto& [used_ns, key] : by_use) {
    if (victims.disk_bytes >= disk_bytes) break;
    if (pinned.count(pin_name(key)) != 0) continue;
    victims.keys.push_back(key);
    victims.disk_bytes += index_.find(key)->disk_bytes;
  }
  return victims;
}

Evicted Shelf::evict(const Held& held, const Victims& victims) {
  for (const EntryKey& key : victims.keys) discard(held, key);
  if (!victims.keys.empty())
    report(false, "evicted " + std::to_string(victims.keys.size()) + " blobs or folders (" +
                      size_text(victims.disk_bytes) + "), least recently used first");
  return {victims.keys.size(), victims.disk_bytes};
}

Evicted Shelf::free_disk(const Held& held, std::uint64_t disk_bytes) {
  const std::uint64_t free = folder_.free_bytes();
  if (free >= disk_bytes) return {};
  const Victims found = victims(disk_bytes - free);
  return free + found.disk_bytes < disk_bytes ? Evicted{} : evict(held, found);
}

Evicted Shelf::make_room(const Held& held, std::uint64_t disk_bytes) {
  if (disk_bytes > size_limit_)
    throw std::runtime_error("cannot store " + size_text(disk_bytes) + " in " +
                             folder_.path().string() + ": " + limit_advice(size_limit_));
  const std::uint64_t used = index_.disk_bytes() + reserved_;
  if (used + disk_bytes <= size_limit_) return {};
  const std::uint64_t missing = used + disk_bytes - size_limit_;
  const Victims found = victims(missing);
  if (found.disk_bytes < missing)
    throw StoreInUse("cannot store " + size_text(disk_bytes) + " in " + folder_.path().string() +
                     ": " + size_text(used - found.disk_bytes) +
                     " are in use by sessions or on their way in, and " +
                     limit_advice(size_limit_));
  return evict(held, found);
}

void Shelf::shrink(const Held& held) {
  const std::uint64_t used = index_.disk_bytes() + reserved_;
  if (used > size_limit_) evict(held, victims(used - size_limit_));
}

void Shelf::reserve(const Held& held, std::uint64_t disk_bytes) {
  make_room(held, disk_bytes);
  reserved_ += disk_bytes;
}

void Shelf::report(bool warning, std::string text) {
  const std::lock_guard lock(reports_mutex_);
  if (reports_.size() < kMostReports) reports_.push_back({warning, std::move(text)});
}

std::vector<StoreReport> Shelf::take_reports() {
  const std::lock_guard lock(reports_mutex_);
  return std::exchange(reports_, {});
}

}  // namespace knee::slave
