#include "common/program/module_identity.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

#include <unistd.h>

#include "common/base/check.h"
#include "common/program/memory.h"

namespace knee::program {
namespace {

constexpr std::size_t kPiece = std::size_t{64} * 1024;

bool debugger_attached() {
  static constexpr std::string_view kField = "TracerPid:";
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with(kField)) return line.find_first_of("123456789") != std::string::npos;
  return false;
}

bool has_text_relocations(const LoadedModule& module) {
  const auto* segments = static_cast<const Elf64_Phdr*>(module.program_headers);
  for (std::size_t i = 0; i < module.program_header_count; ++i) {
    if (segments[i].p_type != PT_DYNAMIC) continue;
    const auto* entry = memory_at<Elf64_Dyn>(module.bias + segments[i].p_vaddr);
    for (; entry->d_tag != DT_NULL; ++entry)
      if (entry->d_tag == DT_TEXTREL ||
          (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL)))
        return true;
  }
  return false;
}

// An end of file before `size` bytes is a difference; memory past it is not touched, since a mapped
// file that was cut short has no memory there.
bool same_content(const std::byte* memory, int fd, std::uint64_t offset, std::uint64_t size) {
  std::vector<std::byte> piece(std::min<std::uint64_t>(size, kPiece));
  while (size > 0) {
    const auto count = check(::pread(fd, piece.data(), std::min<std::uint64_t>(size, piece.size()),
                                     static_cast<off_t>(offset)),
                             "cannot compare a file with what was loaded from it");
    if (count == 0 || std::memcmp(memory, piece.data(), static_cast<std::size_t>(count)) != 0)
      return false;
    memory += count;
    offset += static_cast<std::uint64_t>(count);
    size -= static_cast<std::uint64_t>(count);
  }
  return true;
}

bool same_segments(const LoadedModule& module, const ElfFile& elf, int fd) {
  const bool compare_code = !debugger_attached() && !has_text_relocations(module);
  return std::all_of(elf.segments.begin(), elf.segments.end(), [&](const Elf64_Phdr& segment) {
    const bool compared = segment.p_type == PT_LOAD && (segment.p_flags & PF_R) &&
                          !(segment.p_flags & PF_W) && (compare_code || !(segment.p_flags & PF_X));
    const auto* memory = memory_at<std::byte>(module.bias + segment.p_vaddr);
    return !compared || same_content(memory, fd, segment.p_offset, segment.p_filesz);
  });
}

bool same_headers(const LoadedModule& module, const ElfFile& elf) {
  return elf.segments.size() == module.program_header_count &&
         std::memcmp(elf.segments.data(), module.program_headers,
                     elf.segments.size() * sizeof(Elf64_Phdr)) == 0;
}

}  // namespace

bool is_loaded_from(const LoadedModule& module, const ElfFile& elf, int fd) {
  if (!module.build_id.empty()) return module.build_id == elf.build_id;
  return elf.build_id.empty() && same_headers(module, elf) && same_segments(module, elf, fd);
}

}  // namespace knee::program
