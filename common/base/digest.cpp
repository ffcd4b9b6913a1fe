#include "common/base/digest.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <openssl/evp.h>
#include <sys/types.h>
#include <unistd.h>

namespace knee {
namespace {

// Large enough that system calls cost nothing, small enough to lie on the stack: memory that is new
// for each file costs more than to hash a small one.
constexpr std::size_t kReadSize = std::size_t{64} * 1024;

int hex_value(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  if (digit >= 'A' && digit <= 'F') return digit - 'A' + 10;
  return -1;
}

// A library context of our own: the default one reads openssl.cnf at first use, which is the user's
// business in a driver and may name modules that a static program cannot load. Made once, never
// freed, since a hasher may still run while static objects are destroyed.
const EVP_MD* sha256() {
  static const EVP_MD* const algorithm = [] {
    OSSL_LIB_CTX* context = OSSL_LIB_CTX_new();
    return context ? EVP_MD_fetch(context, "SHA256", "provider=default") : nullptr;
  }();
  return algorithm;
}

void require(bool done, const char* step) {
  if (!done)
    throw std::runtime_error(std::string("cannot compute a SHA-256: libcrypto failed to ") + step);
}

}  // namespace

std::string Digest::hex() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * kSize);
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

std::optional<Digest> Digest::from_hex(std::string_view text) {
  if (text.size() != 2 * kSize) return std::nullopt;
  Digest digest;
  for (std::size_t i = 0; i < kSize; ++i) {
    const int high = hex_value(text[2 * i]);
    const int low = hex_value(text[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest.bytes[i] = static_cast<std::byte>(high * 16 + low);
  }
  return digest;
}

std::optional<Digest> Digest::from_bytes(std::span<const std::byte> raw) {
  if (raw.size() != kSize) return std::nullopt;
  Digest digest;
  std::copy(raw.begin(), raw.end(), digest.bytes.begin());
  return digest;
}

struct Hasher::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() = default;
  State(const State&) = delete;
  ~State() { EVP_MD_CTX_free(context); }

  void begin() {
    require(context && sha256() && EVP_DigestInit_ex(context, sha256(), nullptr) == 1, "start");
  }
};

Hasher::Hasher() : state_(std::make_unique<State>()) {
  state_->begin();
}
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;
Hasher::~Hasher() = default;

void Hasher::update(std::span<const std::byte> bytes) {
  require(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1, "add bytes");
}

Digest Hasher::finish() {
  Digest digest;
  auto* out = reinterpret_cast<unsigned char*>(digest.bytes.data());
  require(EVP_DigestFinal_ex(state_->context, out, nullptr) == 1, "finish");
  state_->begin();
  return digest;
}

Digest Hasher::so_far() const {
  State copy;
  require(copy.context && EVP_MD_CTX_copy_ex(copy.context, state_->context) == 1, "go on");
  Digest digest;
  auto* out = reinterpret_cast<unsigned char*>(digest.bytes.data());
  require(EVP_DigestFinal_ex(copy.context, out, nullptr) == 1, "finish");
  return digest;
}

Digest digest_of(std::span<const std::byte> bytes) {
  Hasher hasher;
  hasher.update(bytes);
  return hasher.finish();
}

Digest digest_of_file(int fd) {
  Hasher hasher;
  std::array<std::byte, kReadSize> buffer;
  off_t offset = 0;
  for (;;) {
    const ssize_t count = ::pread(fd, buffer.data(), buffer.size(), offset);
    if (count == 0) return hasher.finish();
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      throw std::system_error(errno, std::generic_category(), "cannot read a file to hash it");
    hasher.update(std::span(buffer).first(static_cast<std::size_t>(count)));
    offset += count;
  }
}

}  // namespace knee
