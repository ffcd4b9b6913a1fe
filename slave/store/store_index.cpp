#include "slave/store/store_index.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/unique_fd.h"

namespace knee::slave {
namespace {

constexpr const char* kName = "index.1";  // the 1 is the version of the lines
constexpr const char* kNewName = "index.1.new";
constexpr std::int64_t kUseGrain = 1'000'000'000;  // ns
constexpr std::size_t kHexDigits = 2 * Digest::kSize;

std::string hex(std::uint64_t number) {
  char text[16];
  const auto end = std::to_chars(text, text + sizeof text, number, 16).ptr;
  return std::string(text, end);
}

std::optional<std::uint64_t> from_hex(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// Takes the next word off `line`.
std::string_view next_word(std::string_view& line) {
  const auto word = line.substr(0, line.find(' '));
  line.remove_prefix(std::min(line.size(), word.size() + 1));
  return word;
}

std::string key_text(const EntryKey& key) {
  return std::string(1, static_cast<char>(key.kind)) + ' ' + key.file_name();
}

std::optional<EntryKey> next_key(std::string_view& line) {
  const auto kind = next_word(line);
  const auto name = next_word(line);
  if (kind == "b") return EntryKey::from_file_name(EntryKind::blob, name);
  if (kind == "d") return EntryKey::from_file_name(EntryKind::derived, name);
  return std::nullopt;
}

std::string line_of(const EntryKey& key, const Entry& entry) {
  std::string line = "+ " + key_text(key) + ' ' + hex(entry.disk_bytes) + ' ' +
                     hex(static_cast<std::uint64_t>(entry.used_ns)) + ' ' + hex(entry.boot);
  for (std::uint64_t word : entry.seal) line += ' ' + hex(word);
  return line + '\n';
}

std::optional<Entry> entry_from(std::string_view line) {
  std::array<std::uint64_t, 7> words;
  for (std::uint64_t& word : words) {
    const auto number = from_hex(next_word(line));
    if (!number) return std::nullopt;
    word = *number;
  }
  if (!line.empty()) return std::nullopt;
  return Entry{.disk_bytes = words[0],
               .used_ns = static_cast<std::int64_t>(words[1]),
               .boot = words[2],
               .seal = {words[3], words[4], words[5], words[6]}};
}

}  // namespace

std::string EntryKey::file_name() const {
  return kind == EntryKind::blob ? digest.hex() : digest.hex() + '-' + hex(boot);
}

std::optional<EntryKey> EntryKey::from_file_name(EntryKind kind, std::string_view name) {
  const auto digest = Digest::from_hex(name.substr(0, kHexDigits));
  if (!digest) return std::nullopt;
  EntryKey key{kind, *digest, 0};
  if (kind == EntryKind::derived && name.size() > kHexDigits)
    key.boot = from_hex(name.substr(kHexDigits + 1)).value_or(0);
  // Whatever else there is about the name (case, zeros, a tail) makes it somebody else's.
  if (key.file_name() != name) return std::nullopt;
  return key;
}

StoreIndex::StoreIndex(int folder, const std::filesystem::path& path)
    : folder_(folder), path_(path) {}

void StoreIndex::fail(const std::string& tried) const {
  throw_errno("cannot " + tried + " the store's index " + (path_ / kName).string());
}

void StoreIndex::refresh() {
  struct stat named;
  struct stat open_one;
  const bool exists = fstatat(folder_, kName, &named, AT_SYMLINK_NOFOLLOW) == 0;
  const bool opened = file_ && fstat(file_.get(), &open_one) == 0;
  if (opened && exists && named.st_ino == open_one.st_ino) {
    const auto size = static_cast<std::uint64_t>(named.st_size);
    // Somebody emptied it by hand: what is known here is written anew.
    return size < offset_ ? rewrite() : read_new_lines(size);
  }
  if (opened && !exists) return rewrite();
  // Another process started the file afresh, with everything that is known in it.
  entries_.clear();
  disk_bytes_ = offset_ = lines_ = 0;
  torn_ = false;
  open_file(0, kName);
  if (fstat(file_.get(), &named) != 0) fail("look at");
  read_new_lines(static_cast<std::uint64_t>(named.st_size));
}

void StoreIndex::open_file(int flags, const char* name) {
  file_ = UniqueFd(
      openat(folder_, name, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | flags, 0600));
  if (!file_) fail("open");
}

void StoreIndex::read_new_lines(std::uint64_t size) {
  if (size <= offset_) return;
  std::string text(size - offset_, '\0');
  std::size_t got = 0;
  while (got < text.size()) {
    const ssize_t n =
        pread(file_.get(), text.data() + got, text.size() - got, static_cast<off_t>(offset_ + got));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("read");
    if (n == 0) break;
    got += static_cast<std::size_t>(n);
  }
  std::string_view rest(text.data(), got);
  for (auto end = rest.find('\n'); end != rest.npos; end = rest.find('\n')) {
    apply(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  // Nobody writes now, so half a line is what a process left that was killed while it wrote.
  torn_ = !rest.empty();
  offset_ += got;
}

void StoreIndex::apply(std::string_view line) {
  ++lines_;
  const auto verb = next_word(line);
  const auto key = next_key(line);
  if (!key) return;
  if (verb == "-") return erase(*key);
  auto entry = entry_from(line);
  if (verb != "+" || !entry) return;
  // Uses are written rarely; this process may know of a later one.
  if (const Entry* known = find(*key)) entry->used_ns = std::max(entry->used_ns, known->used_ns);
  set(*key, *entry);
}

void StoreIndex::set(const EntryKey& key, const Entry& entry) {
  Entry& known = entries_[key];
  disk_bytes_ += entry.disk_bytes - known.disk_bytes;
  known = entry;
}

void StoreIndex::erase(const EntryKey& key) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  disk_bytes_ -= found->second.disk_bytes;
  entries_.erase(found);
  written_use_.erase(key);
}

const Entry* StoreIndex::find(const EntryKey& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? nullptr : &found->second;
}

void StoreIndex::put(const EntryKey& key, const Entry& entry) {
  set(key, entry);
  written_use_[key] = entry.used_ns;
  pending_ += line_of(key, entry);
  ++lines_;
}

void StoreIndex::remove(const EntryKey& key) {
  if (find(key) == nullptr) return;
  erase(key);
  pending_ += "- " + key_text(key) + '\n';
  ++lines_;
}

void StoreIndex::touch(const EntryKey& key, std::int64_t now_ns) {
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  found->second.used_ns = std::max(found->second.used_ns, now_ns);
  if (now_ns - written_use_[key] >= kUseGrain) put(key, Entry(found->second));
}

bool StoreIndex::append(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t n = write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

void StoreIndex::flush() noexcept {
  try {
    if (lines_ > 2 * entries_.size() + 4096) return rewrite();
    if (pending_.empty()) return;
    const std::string text = (torn_ ? "\n" : "") + pending_;
    pending_.clear();
    if (!append(file_.get(), text)) {
      // Best effort: half a line that stays is skipped by all readers.
      if (ftruncate(file_.get(), static_cast<off_t>(offset_)) != 0) torn_ = true;
      return;
    }
    offset_ += text.size();
    torn_ = false;
  } catch (const std::exception&) {
    pending_.clear();  // no memory or no room: see the class comment
  }
}

void StoreIndex::rewrite() {
  std::string text;
  for (const auto& [key, entry] : entries_) text += line_of(key, entry);
  pending_.clear();
  const UniqueFd old = std::move(file_);
  open_file(O_TRUNC, kNewName);
  if (!append(file_.get(), text) || renameat(folder_, kNewName, folder_, kName) != 0) {
    const int error = errno;
    unlinkat(folder_, kNewName, 0);
    errno = error;
    fail("write");
  }
  offset_ = text.size();
  lines_ = entries_.size();
  torn_ = false;
}

}  // namespace knee::slave
