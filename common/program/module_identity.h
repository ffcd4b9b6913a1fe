#pragma once

#include "common/program/elf_file.h"
#include "common/program/loaded_module.h"

namespace knee::program {

/// Whether the ELF file behind `fd` is the one `module` was loaded from. Build ids decide if the
/// module has one. Else program headers and the contents of segments that nobody may write are
/// compared; code only when no debugger is attached and no relocations are made in it. Throws
/// std::system_error if the file cannot be read.
bool is_loaded_from(const LoadedModule& module, const ElfFile& elf, int fd);

}  // namespace knee::program
