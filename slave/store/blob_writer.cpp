#include "slave/store/blob_writer.h"

#include <filesystem>
#include <stdexcept>
#include <string>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>

#include "common/base/check.h"
#include "common/base/size_text.h"
#include "common/base/unique_fd.h"
#include "slave/store/shelf.h"

namespace knee::slave {
namespace {

namespace fs = std::filesystem;

/// Says that a write failed, and for a full disk how full it is and what helps.
[[noreturn]] void throw_write_error(const Shelf& shelf, const EntryKey& key, std::uint64_t size) {
  const int error = errno;
  std::string what = "cannot write the blob " + key.digest.hex() + " of " + size_text(size) +
                     " to " + shelf.folder().path().string();
  if (error == ENOSPC || error == EDQUOT)
    what += " (" + size_text(shelf.folder().free_bytes()) +
            " free; make room on that disk, choose a folder on another one with --store, or a "
            "smaller --store-size)";
  throw_errno(what, error);
}

}  // namespace

struct BlobWriter::Incoming {
  Incoming(Shelf& shelf, const EntryKey& key, std::uint64_t size);
  ~Incoming();

  void drop() noexcept;
  bool allocate();
  BlobPin store(const UniqueFd& reader);

  Shelf& shelf;
  const EntryKey key;
  const std::uint64_t size;
  std::uint64_t written = 0;
  bool reserved = false;
  fs::path path;
  UniqueFd file;
  Hasher hasher;
};

BlobWriter::Incoming::Incoming(Shelf& shelf, const EntryKey& key, std::uint64_t size)
    : shelf(shelf), key(key), size(size) {}

BlobWriter::Incoming::~Incoming() {
  drop();
}

/// Removes the file, unless it was moved into the store, and gives its room back.
void BlobWriter::Incoming::drop() noexcept {
  if (!path.empty()) unlink(path.c_str());
  path.clear();
  if (std::exchange(reserved, false)) shelf.release(disk_bytes_of(size));
}

/// Takes the room on the disk now, so that a full disk shows before anything was sent.
bool BlobWriter::Incoming::allocate() {
  if (size == 0 || fallocate(file.get(), 0, 0, static_cast<off_t>(size)) == 0) return true;
  return errno == EOPNOTSUPP || errno == ENOSYS;  // then it shows while writing
}

BlobWriter::BlobWriter(Shelf& shelf, const EntryKey& key, std::uint64_t size)
    : incoming_(std::make_unique<Incoming>(shelf, key, size)) {
  {
    const Shelf::Held held(shelf);
    shelf.reserve(held, disk_bytes_of(size));
    incoming_->reserved = true;
  }
  incoming_->path = shelf.fresh_path();
  incoming_->file =
      UniqueFd(open(incoming_->path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!incoming_->file) throw_write_error(shelf, key, size);
  if (incoming_->allocate()) return;
  if (errno == ENOSPC || errno == EDQUOT) {
    // Others fill the disk; what nobody uses here makes way before the blob is refused.
    if (ftruncate(incoming_->file.get(), 0) != 0) throw_write_error(shelf, key, size);
    const Shelf::Held held(shelf);
    shelf.free_disk(held, disk_bytes_of(size));
  }
  if (!incoming_->allocate()) throw_write_error(shelf, key, size);
}

BlobWriter::BlobWriter(BlobWriter&&) noexcept = default;
BlobWriter& BlobWriter::operator=(BlobWriter&&) noexcept = default;
BlobWriter::~BlobWriter() = default;

void BlobWriter::write(std::span<const std::byte> bytes) {
  Incoming& in = *incoming_;
  if (bytes.size() > in.size - in.written)
    throw std::runtime_error("refused the blob " + in.key.digest.hex() + ": more bytes came than " +
                             std::to_string(in.size) + ", the size that was announced");
  in.hasher.update(bytes);
  in.written += bytes.size();
  while (!bytes.empty()) {
    const ssize_t n = ::write(in.file.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_write_error(in.shelf, in.key, in.size);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

BlobPin BlobWriter::commit() {
  Incoming& in = *incoming_;
  if (in.written != in.size)
    throw std::runtime_error("refused the blob " + in.key.digest.hex() + ": " +
                             std::to_string(in.written) + " bytes came instead of " +
                             std::to_string(in.size));
  const Digest got = in.hasher.finish();
  if (got != in.key.digest)
    throw std::runtime_error("refused a blob of " + std::to_string(in.size) +
                             " bytes: expected the hash " + in.key.digest.hex() + ", got " +
                             got.hex() + "; the file changed while it was sent");
  if (fchmod(in.file.get(), 0500) != 0) throw_write_error(in.shelf, in.key, in.size);
  const UniqueFd reader(open(in.path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!reader) throw_write_error(in.shelf, in.key, in.size);
  // A file that is open for writing cannot be executed. Closing says what a network file system
  // could not write.
  if (::close(in.file.release()) != 0) throw_write_error(in.shelf, in.key, in.size);
  BlobPin pin = in.store(reader);
  const Shelf::Held held(in.shelf);
  in.shelf.shrink(held);
  return pin;
}

BlobPin BlobWriter::Incoming::store(const UniqueFd& reader) {
  const Shelf::Held held(shelf);
  if (shelf.is_good_blob(held, key)) {
    drop();  // now: a blob must not count twice while its pin lives
    return shelf.pin(held, key);
  }
  shelf.adopt(held, key, path, disk_bytes_of(size));
  path.clear();
  drop();
  struct stat status;  // after the rename, which changes ctime
  if (fstat(reader.get(), &status) != 0) throw_write_error(shelf, key, size);
  shelf.seal(held, key, seal_of(status), disk_bytes_of(size));
  return shelf.pin(held, key);
}

}  // namespace knee::slave
