#include "slave/store/blob_store.h"

#include <stdexcept>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>

#include "common/base/check.h"
#include "common/base/unique_fd.h"
#include "slave/store/shelf.h"

namespace knee::slave {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kBlobMode = 0500;

EntryKey blob_key(const Digest& digest) {
  return {EntryKind::blob, digest, 0};
}

EntryKey derived_key(const Digest& digest) {
  return {EntryKind::derived, digest, this_boot()};
}

struct stat status_of(const UniqueFd& file) {
  struct stat status;
  if (fstat(file.get(), &status) != 0) throw_errno("cannot look at the file");
  return status;
}

/// What makes a blob worthless. Other failures (no memory, no descriptors) say nothing about it.
struct Damage : std::runtime_error {
  using runtime_error::runtime_error;
};

/// Opens a blob's file to hash it. Throws Damage if it is not a plain file that can be read.
UniqueFd open_blob(const fs::path& path) {
  // O_NONBLOCK: somebody may have put a pipe there.
  UniqueFd file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file && (errno == ENFILE || errno == EMFILE || errno == ENOMEM))
    throw_errno("cannot open " + path.string());
  if (!file) throw Damage("it cannot be opened: " + std::generic_category().message(errno));
  const struct stat status = status_of(file);
  if (!S_ISREG(status.st_mode)) throw Damage("it is not a plain file");
  if ((status.st_mode & 07777) != kBlobMode && fchmod(file.get(), kBlobMode) != 0)
    throw_errno("cannot change the mode of " + path.string());
  return file;
}

Digest hash_of(const UniqueFd& file) {
  try {
    return digest_of_file(file.get());
  } catch (const std::system_error& failure) {
    if (failure.code() != std::errc::io_error) throw;
    throw Damage(failure.what());
  }
}

/// Hashes a blob's file and says how it looks. Throws Damage if it is not `expected`.
struct stat check_content(const fs::path& path, const Digest& expected) {
  const UniqueFd file = open_blob(path);
  const struct stat before = status_of(file);
  const Digest found = hash_of(file);
  if (found != expected) throw Damage("its content has the hash " + found.hex());
  if (seal_of(status_of(file)) != seal_of(before)) throw Damage("it changed while it was read");
  return before;
}

/// Removes what is left at a path at the end of a block; nothing if it was moved away.
struct Leftover {
  const fs::path& path;
  ~Leftover() { remove_tree(path); }
};

}  // namespace

BlobStore::BlobStore(const fs::path& folder, std::uint64_t size_limit)
    : shelf_(std::make_unique<Shelf>(folder, size_limit)) {}

BlobStore::~BlobStore() = default;

std::vector<Digest> BlobStore::lacking(std::span<const Digest> digests) {
  std::vector<bool> good;
  {
    const Shelf::Held held(*shelf_);
    for (const Digest& digest : digests) {
      good.push_back(shelf_->is_good_blob(held, blob_key(digest)));
      if (good.back()) shelf_->touch(held, blob_key(digest));
    }
  }
  std::vector<Digest> result;
  for (std::size_t i = 0; i < digests.size(); ++i)
    if (!good[i] && !pin(digests[i])) result.push_back(digests[i]);
  return result;
}

BlobWriter BlobStore::begin(const Digest& digest, std::uint64_t size) {
  return BlobWriter(*shelf_, blob_key(digest), size);
}

std::optional<BlobPin> BlobStore::pin(const Digest& digest) {
  const EntryKey key = blob_key(digest);
  const auto turn = turns_.take(key);
  std::optional<BlobPin> pin;
  {
    const Shelf::Held held(*shelf_);
    if (!shelf_->exists(held, key)) return std::nullopt;
    pin = shelf_->pin(held, key);
    if (shelf_->is_good_blob(held, key)) return pin;
  }
  // Hashing takes its time: not under the lock. The pin keeps the file.
  if (!verify(*pin)) pin.reset();
  return pin;
}

bool BlobStore::verify(const BlobPin& pin) {
  const EntryKey key = blob_key(pin.digest());
  std::string damage;
  try {
    const struct stat status = check_content(pin.path(), key.digest);
    const auto size = static_cast<std::uint64_t>(status.st_size);
    rehashed_ += size;
    const Shelf::Held held(*shelf_);
    shelf_->seal(held, key, seal_of(status), disk_bytes_of(size));
    return shelf_->is_good_blob(held, key);
  } catch (const Damage& failure) {
    damage = failure.what();
  }
  const Shelf::Held held(*shelf_);
  shelf_->discard(held, key);
  shelf_->report(true, "removed the damaged blob " + pin.path().string() + ": " + damage +
                           "; it will be fetched again");
  return false;
}

DerivedPin BlobStore::derived(const Digest& digest,
                              const std::function<void(const fs::path& folder)>& make) {
  const EntryKey key = derived_key(digest);
  const auto turn = turns_.take(key);
  if (auto pin = find_derived(key)) return std::move(*pin);
  const fs::path fresh = shelf_->fresh_path();
  const Leftover leftover{fresh};
  if (mkdir(fresh.c_str(), 0700) != 0) throw_errno("cannot create " + fresh.string());
  make(fresh);
  return keep_derived(key, fresh);
}

std::optional<DerivedPin> BlobStore::find_derived(const EntryKey& key) {
  const Shelf::Held held(*shelf_);
  if (!shelf_->exists(held, key)) return std::nullopt;
  if (shelf_->is_good_folder(held, key)) return shelf_->pin(held, key);
  shelf_->discard(held, key);
  shelf_->report(true, "removed " + shelf_->path_of(key).string() +
                           ", which was changed since it was made; it is made again");
  return std::nullopt;
}

DerivedPin BlobStore::keep_derived(const EntryKey& key, const fs::path& made) {
  const FolderSeal sealed = seal_of_folder(made);
  const Shelf::Held held(*shelf_);
  // Another process may have been faster.
  if (shelf_->is_good_folder(held, key)) return shelf_->pin(held, key);
  if (shelf_->exists(held, key)) shelf_->discard(held, key);
  shelf_->make_room(held, sealed.disk_bytes);
  shelf_->adopt(held, key, made, sealed.disk_bytes);
  shelf_->seal(held, key, sealed.seal, sealed.disk_bytes);
  return shelf_->pin(held, key);
}

Evicted BlobStore::evict(std::uint64_t needed) {
  const Shelf::Held held(*shelf_);
  return shelf_->make_room(held, needed);
}

StoreStatistics BlobStore::statistics() {
  const Shelf::Held held(*shelf_);
  StoreStatistics result{
      .bytes = shelf_->disk_bytes(held), .limit = shelf_->size_limit(), .rehashed = rehashed_};
  for (const auto& [key, entry] : shelf_->entries(held))
    ++(key.kind == EntryKind::blob ? result.blobs : result.derived);
  return result;
}

std::uint64_t BlobStore::size_limit() const {
  return shelf_->size_limit();
}

std::vector<StoreReport> BlobStore::take_reports() {
  return shelf_->take_reports();
}

StorePin::~StorePin() {
  if (shelf_ != nullptr) shelf_->unpin(key_);
}

fs::path StorePin::path() const {
  return shelf_->path_of(key_);
}

}  // namespace knee::slave
