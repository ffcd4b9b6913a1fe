#include "common/program/elf_patch.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include <unistd.h>

#include "common/base/check.h"

namespace knee::program {
namespace {

// A tag of the range for operating systems that none uses ("knee"): loaders pass over it.
constexpr std::int64_t kIgnoredTag = 0x6b6e6565;

// On little-endian machines, the only ones shipped to, the bytes of a number are its memory.
template <class Number>
ElfPatch number_patch(std::uint64_t offset, Number number) {
  ElfPatch patch{offset, std::vector<std::byte>(sizeof number)};
  std::memcpy(patch.bytes.data(), &number, sizeof number);
  return patch;
}

// How many characters of a library's name to skip so that none before it is a slash.
std::uint64_t folder_length(const ElfName& name) {
  const auto slash = name.text.rfind('/');
  return slash == std::string::npos ? 0 : slash + 1;
}

bool is_search_path(const ElfFile::Dynamic& entry) {
  return entry.tag == DT_RPATH || entry.tag == DT_RUNPATH;
}

bool has(const ElfFile& elf, std::int64_t tag) {
  return std::any_of(elf.names.begin(), elf.names.end(),
                     [tag](const ElfFile::Dynamic& entry) { return entry.tag == tag; });
}

}  // namespace

std::vector<ElfPatch> search_patches(const ElfFile& elf) {
  std::vector<ElfPatch> patches;
  // Beside a DT_RUNPATH the loader ignores DT_RPATH already.
  const bool rpath_counts = !has(elf, DT_RUNPATH);
  for (const ElfFile::Dynamic& entry : elf.names) {
    if (!elf.interpreter && is_search_path(entry))
      patches.push_back(number_patch(entry.offset, kIgnoredTag));
    else if (entry.tag == DT_RPATH && rpath_counts)
      patches.push_back(number_patch(entry.offset, std::int64_t{DT_RUNPATH}));
    if (entry.tag == DT_NEEDED && folder_length(entry.name) > 0)
      patches.push_back(
          number_patch(entry.name.field, entry.name.value + folder_length(entry.name)));
  }
  // A required version names its library as DT_NEEDED does, and the loader compares the two.
  for (const ElfName& name : elf.version_files)
    if (folder_length(name) > 0)
      patches.push_back(
          number_patch(name.field, static_cast<std::uint32_t>(name.value + folder_length(name))));
  return patches;
}

std::vector<ElfPatch> folder_patches(const ElfFile& elf, std::string_view folder) {
  if (!elf.free_name || folder.size() > elf.free_name->text.size()) return {};
  std::vector<ElfPatch> patches;
  const auto use = [&](std::uint64_t entry) {
    patches.push_back(number_patch(entry, std::int64_t{DT_RPATH}));
    patches.push_back(number_patch(entry + offsetof(Elf64_Dyn, d_un), elf.free_name->value));
  };
  for (const ElfFile::Dynamic& entry : elf.names)
    if (is_search_path(entry)) use(entry.offset);
  if (patches.empty() && elf.free_entry) use(*elf.free_entry);
  if (patches.empty()) return {};
  // Only so much as is needed: linkers may have other names end in this one.
  ElfPatch name{elf.free_name->field, std::vector<std::byte>(folder.size() + 1)};
  std::memcpy(name.bytes.data(), folder.data(), folder.size());
  patches.push_back(std::move(name));
  return patches;
}

std::optional<ElfPatch> interpreter_patch(const ElfFile& elf, std::string_view path) {
  const ElfFile::Interpreter& present = elf.interpreter.value();
  if (path.size() + 1 > present.capacity) return std::nullopt;
  ElfPatch patch{present.offset, std::vector<std::byte>(present.capacity)};
  std::memcpy(patch.bytes.data(), path.data(), path.size());
  return patch;
}

void apply(const std::vector<ElfPatch>& patches, int fd) {
  for (const ElfPatch& patch : patches) {
    const auto count =
        ::pwrite(fd, patch.bytes.data(), patch.bytes.size(), static_cast<off_t>(patch.offset));
    if (count == static_cast<ssize_t>(patch.bytes.size())) continue;
    throw_errno("cannot patch the copy of a program", count < 0 ? errno : EIO);
  }
}

}  // namespace knee::program
