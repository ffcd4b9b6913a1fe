#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace knee::program {

/// A stretch of a loaded file in memory, [begin, end).
struct AddressRange {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  bool executable = false;
  bool writable = false;
};

/// One file of the running program as the dynamic loader put it into memory. A plain value; the
/// pointer in it stays good until the file is unloaded (dlclose).
struct LoadedModule {
  enum class Kind { kExecutable, kLoader, kLibrary };

  Kind kind = Kind::kLibrary;

  /// What the file is called in every process of the program: "" for the executable, the base name
  /// of the loaded file for a library, the SONAME for the loader (whose path differs in a worker).
  std::string name;

  /// As the loader found it; may be relative. Empty for the executable.
  std::string path;

  /// What is added to an address in the file to get the address in memory.
  std::uintptr_t bias = 0;

  std::vector<AddressRange> ranges;
  std::vector<std::byte> build_id;  ///< empty: the file was linked without one
  std::string soname;               ///< DT_SONAME, may be empty
  std::vector<std::string> needed;  ///< DT_NEEDED, as written

  /// The Elf64_Phdr array in memory.
  const void* program_headers = nullptr;
  std::size_t program_header_count = 0;

  /// Whether `address` lies in one of the ranges.
  bool contains(std::uintptr_t address) const;
};

/// The files this process was loaded from, the executable first, then in the loader's order. Left
/// out: the vdso, and what only LD_PRELOAD or /etc/ld.so.preload brought in (valgrind's files too),
/// since that belongs to this machine and not to the program. Any thread. Costs some tens of
/// microseconds. Never fails; a statically linked program has one.
std::vector<LoadedModule> loaded_modules();

}  // namespace knee::program
