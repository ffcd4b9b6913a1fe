#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <elf.h>

namespace knee::program {

/// Why a file is not a program or library for this machine. The text names the file.
struct ElfError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A reference out of an ELF file's tables to one of its strings.
struct ElfName {
  std::uint64_t field = 0;  ///< offset in the file of the number that refers to the string
  std::uint64_t value = 0;  ///< that number: where the string starts in the string table
  std::string text;
};

/// What shipping has to know of a 64-bit little-endian ELF file. A plain value.
struct ElfFile {
  struct Interpreter {
    std::uint64_t offset = 0;    ///< in the file
    std::uint64_t capacity = 0;  ///< bytes there, the final NUL included
    std::string path;
  };
  /// An entry of the dynamic section; `name` holds for the tags whose value is a string's place.
  struct Dynamic {
    std::uint64_t offset = 0;  ///< of the entry (tag, value) in the file
    std::int64_t tag = 0;
    ElfName name;
  };

  std::uint16_t type = 0;
  std::vector<Elf64_Phdr> segments;
  std::optional<Interpreter> interpreter;  ///< none: static, or a library
  std::vector<Dynamic> names;              ///< NEEDED, SONAME, RPATH and RUNPATH, in order
  std::vector<ElfName> version_files;      ///< the libraries of which versions are required
  std::vector<std::byte> build_id;         ///< empty: none

  /// Of an executable: the offset of an unused entry of the dynamic section (linkers leave a few).
  std::optional<std::uint64_t> free_entry;

  /// Of an executable: a string of the string table that may be overwritten, since it names a weak
  /// symbol that nothing defines. `field` is the string's own offset in the file.
  std::optional<ElfName> free_name;

  /// The string of the first entry with `tag` (DT_SONAME ...), empty if there is none.
  std::string first_name(std::int64_t tag) const;
};

/// Reads the ELF file behind `fd`, which must allow pread; every offset in it is checked, so a
/// damaged or hostile file gives an error and nothing worse. `name` is what errors call the file.
/// Throws ElfError if it is no ELF file for this machine's architecture or damaged,
/// std::system_error if it cannot be read. Any thread; blocks on the disk.
ElfFile read_elf(int fd, const std::string& name);

/// The GNU build id in the notes of a PT_NOTE segment with alignment `alignment`; empty if none.
std::vector<std::byte> build_id_in_notes(std::span<const std::byte> notes, std::uint64_t alignment);

}  // namespace knee::program
