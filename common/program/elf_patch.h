#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "common/program/elf_file.h"

namespace knee::program {

/// Bytes to write over those at `offset` of a file.
struct ElfPatch {
  std::uint64_t offset = 0;
  std::vector<std::byte> bytes;
};

/// What must change in a program or library so that all it links is found through
/// LD_LIBRARY_PATH or the executable's DT_RPATH: its own DT_RPATH, which beats that variable,
/// becomes DT_RUNPATH in an executable, which does not; a library has neither any more, since
/// DT_RUNPATH hides the executable's DT_RPATH. The name of a needed library that holds a slash,
/// which skips every search, starts after the last slash. Nothing moves and no size changes.
/// Empty for almost every file.
std::vector<ElfPatch> search_patches(const ElfFile& elf);

/// What gives an executable, after search_patches(), the DT_RPATH `folder` ("$ORIGIN/../lib"), so
/// that it finds its libraries whatever LD_LIBRARY_PATH says, when it starts itself again too. Uses
/// an entry of the dynamic section and a string that have no other use; empty if there are none.
std::vector<ElfPatch> folder_patches(const ElfFile& elf, std::string_view folder);

/// What makes `path` the interpreter (the dynamic loader) of the program; nullopt if the place of
/// the present one is too short for it. The file must have an interpreter.
std::optional<ElfPatch> interpreter_patch(const ElfFile& elf, std::string_view path);

/// Writes the patches to a file open for writing. Throws std::system_error.
void apply(const std::vector<ElfPatch>& patches, int fd);

}  // namespace knee::program
