#include "shared_values.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/base/check.h"
#include "common/base/unique_fd.h"

namespace knee::worker {
namespace {

/// A file's bytes, for as long as it lives.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path) {
    const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) throw_errno("cannot open the shared value '" + path + "'");
    struct stat status {};
    check(::fstat(fd.get(), &status), "cannot look at a shared value");
    size_ = static_cast<std::size_t>(status.st_size);
    if (size_ == 0) return;
    address_ = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (address_ == MAP_FAILED) throw_errno("cannot map the shared value '" + path + "'");
  }
  MappedFile(const MappedFile&) = delete;
  ~MappedFile() {
    if (size_ != 0) ::munmap(address_, size_);
  }
  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(address_), size_};
  }

 private:
  void* address_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace

SharedValues& SharedValues::instance() {
  static auto* const values = new SharedValues;  // user threads may still ask at the end
  return *values;
}

void SharedValues::learn(const detail::DigestBytes& digest, std::string path) {
  const std::lock_guard lock(mutex_);
  values_[digest].path = std::move(path);
}

std::shared_ptr<const void> SharedValues::find(const detail::DigestBytes& digest,
                                               std::type_index type, detail::DecodeShared decode) {
  const std::lock_guard lock(mutex_);
  const auto found = values_.find(digest);
  if (found == values_.end())
    throw Error(Error::Kind::usage, "a shared value was used that this worker was not told of");
  auto& value = found->second.decoded[type];
  if (!value) value = decode(MappedFile(found->second.path).bytes());
  return value;
}

}  // namespace knee::worker

namespace knee::detail {

std::shared_ptr<const void> find_shared(const DigestBytes& digest, std::type_index type,
                                        DecodeShared decode) {
  return worker::SharedValues::instance().find(digest, type, decode);
}

}  // namespace knee::detail
