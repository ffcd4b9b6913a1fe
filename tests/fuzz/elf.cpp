#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "common/base/unique_fd.h"
#include "common/program/elf_file.h"
#include "common/program/elf_patch.h"

/// A file that a driver ships as a program: read, and patched in place without a change of size.
using namespace knee;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const UniqueFd file(::memfd_create("fuzz", MFD_CLOEXEC));
  if (::write(file.get(), data, size) != static_cast<ssize_t>(size)) std::abort();
  try {
    const auto elf = program::read_elf(file.get(), "fuzz");
    auto patches = program::search_patches(elf);
    for (auto& patch : program::folder_patches(elf, "$ORIGIN/../lib")) patches.push_back(patch);
    if (elf.interpreter)
      if (const auto patch = program::interpreter_patch(elf, "/proc/self/fd/999"))
        patches.push_back(*patch);
    program::apply(patches, file.get());
  } catch (const program::ElfError&) {
  }
  if (::lseek(file.get(), 0, SEEK_END) != static_cast<off_t>(size)) std::abort();
  (void)program::build_id_in_notes(std::as_bytes(std::span(data, size)), 4);
  return 0;
}
