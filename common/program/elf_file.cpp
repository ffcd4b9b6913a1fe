#include "common/program/elf_file.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>

#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"

namespace knee::program {
namespace {

// Far above what linkers write; a file that claims more is damaged and must not cost memory.
constexpr std::uint64_t kMostDynamicBytes = 1 << 20;
constexpr std::uint64_t kMostNoteBytes = 1 << 20;
constexpr std::uint64_t kMostSegments = 4096;
constexpr std::uint64_t kMostVersionFiles = 65536;
constexpr std::uint64_t kMostStringBytes = 64 << 20;
constexpr std::uint64_t kLongestString = 4096;  // PATH_MAX; a longer RPATH is cut by nobody else

#if defined(__x86_64__)
constexpr std::uint16_t kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr std::uint16_t kMachine = EM_AARCH64;
#elif defined(__riscv)
constexpr std::uint16_t kMachine = EM_RISCV;
#elif defined(__powerpc64__)
constexpr std::uint16_t kMachine = EM_PPC64;
#else
#error "add the ELF machine number of this architecture"
#endif

std::string machine_name(std::uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_AARCH64:
      return "aarch64";
    case EM_386:
      return "i386";
    case EM_ARM:
      return "arm";
    case EM_PPC64:
      return "ppc64";
    case EM_RISCV:
      return "riscv";
    case EM_S390:
      return "s390";
    default:
      return "ELF machine " + std::to_string(machine);
  }
}

// Weak symbols that gcc's start files mention and nothing defines: but for transactional memory
// (libitm) the first, which only position independent programs have, and but for a profiled program
// (which has it defined in itself) the second. That a name of the program's own ends like one of
// them, and shares its end, is not looked at.
constexpr std::array<std::string_view, 2> kFreeNames{
    std::string_view("\0_ITM_deregisterTMCloneTable\0", 29),
    std::string_view("\0__gmon_start__\0", 16)};
constexpr const char* kDefinesFreeName = "libitm";

// The bytes of one file, checked against its size.
class FileReader {
 public:
  FileReader(int fd, const std::string& name) : fd_(fd), name_(name) {
    struct stat status;
    if (::fstat(fd, &status) != 0) throw_errno("cannot examine '" + name + "'");
    size_ = static_cast<std::uint64_t>(status.st_size);
  }

  [[noreturn]] void damaged(const std::string& what) const {
    throw ElfError("'" + name_ + "' is damaged: " + what);
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw ElfError("'" + name_ + "' " + what);
  }

  std::uint64_t size() const { return size_; }

  std::vector<std::byte> bytes(std::uint64_t offset, std::uint64_t size, const char* what) const {
    if (offset > size_ || size > size_ - offset)
      damaged(std::string("its ") + what + " lies past the end of the file");
    std::vector<std::byte> buffer(size);
    read(offset, buffer.data(), size, what);
    return buffer;
  }

  template <class T>
  T object(std::uint64_t offset, const char* what) const {
    T value;
    const auto raw = bytes(offset, sizeof value, what);
    std::memcpy(&value, raw.data(), sizeof value);
    return value;
  }

  template <class T>
  std::vector<T> array(std::uint64_t offset, std::uint64_t count, const char* what) const {
    std::vector<T> values(count);
    const auto raw = bytes(offset, count * sizeof(T), what);
    if (!raw.empty()) std::memcpy(values.data(), raw.data(), raw.size());
    return values;
  }

  std::string text(std::uint64_t offset, std::uint64_t limit, const char* what) const {
    const std::uint64_t rest = offset < size_ ? size_ - offset : 0;
    const auto raw = bytes(offset, std::min({rest, limit, kLongestString}), what);
    const auto end = std::find(raw.begin(), raw.end(), std::byte{0});
    if (end == raw.end()) damaged(std::string("its ") + what + " has no end");
    return {reinterpret_cast<const char*>(raw.data()), static_cast<std::size_t>(end - raw.begin())};
  }

 private:
  void read(std::uint64_t offset, std::byte* to, std::uint64_t size, const char* what) const {
    while (size > 0) {
      const ssize_t count = ::pread(fd_, to, size, static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) throw_errno("cannot read '" + name_ + "'");
      if (count == 0) damaged(std::string("the file shrank while its ") + what + " was read");
      offset += static_cast<std::uint64_t>(count);
      to += count;
      size -= static_cast<std::uint64_t>(count);
    }
  }

  int fd_;
  std::string name_;
  std::uint64_t size_ = 0;
};

void refuse_what_is_no_elf(const FileReader& file) {
  std::array<char, 4> start{};
  const auto raw = file.bytes(0, std::min<std::uint64_t>(file.size(), start.size()), "start");
  if (!raw.empty()) std::memcpy(start.data(), raw.data(), raw.size());
  const std::string_view magic(start.data(), start.size());
  if (magic.starts_with("#!"))
    file.refuse("is a script (it begins with '#!'), not a compiled program (ELF)");
  if (magic != std::string_view(ELFMAG, SELFMAG))
    file.refuse("is not a compiled program or library (no ELF file)");
}

Elf64_Ehdr read_header(const FileReader& file) {
  refuse_what_is_no_elf(file);
  const auto identity = file.array<unsigned char>(0, EI_NIDENT, "ELF identity");
  if (identity[EI_CLASS] == ELFCLASS32)
    file.refuse("is a 32-bit ELF file; only 64-bit programs can be shipped");
  if (identity[EI_CLASS] != ELFCLASS64) file.damaged("it has an unknown ELF class");
  if (identity[EI_DATA] != ELFDATA2LSB)
    file.refuse("is a big-endian ELF file; only little-endian programs can be shipped");
  const auto header = file.object<Elf64_Ehdr>(0, "ELF header");
  if (header.e_machine != kMachine)
    file.refuse("is built for " + machine_name(header.e_machine) + ", but this machine is " +
                machine_name(kMachine));
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
    file.refuse("is an ELF file that cannot be run or loaded (an object file or a core dump?)");
  return header;
}

std::vector<Elf64_Phdr> read_segments(const FileReader& file, const Elf64_Ehdr& header) {
  if (header.e_phentsize != sizeof(Elf64_Phdr))
    file.damaged("its program headers have a wrong size");
  if (header.e_phnum > kMostSegments) file.damaged("it has too many program headers");
  return file.array<Elf64_Phdr>(header.e_phoff, header.e_phnum, "program header table");
}

// Fills an ElfFile whose segments are known.
class ElfReader {
 public:
  ElfReader(const FileReader& file, ElfFile& elf) : file_(file), elf_(elf) {}

  void read() {
    for (const Elf64_Phdr& segment : elf_.segments)
      if (segment.p_type == PT_INTERP && !elf_.interpreter) read_interpreter(segment);
    for (const Elf64_Phdr& segment : elf_.segments) {
      if (segment.p_type == PT_NOTE && elf_.build_id.empty()) read_notes(segment);
      if (segment.p_type == PT_DYNAMIC && elf_.names.empty()) read_dynamic(segment);
    }
  }

 private:
  void read_interpreter(const Elf64_Phdr& segment) {
    const auto text = file_.text(segment.p_offset, segment.p_filesz, "interpreter path");
    if (segment.p_filesz > kLongestString) file_.damaged("its interpreter path is too long");
    file_.bytes(segment.p_offset, segment.p_filesz, "interpreter path");
    elf_.interpreter = ElfFile::Interpreter{segment.p_offset, segment.p_filesz, text};
  }

  void read_notes(const Elf64_Phdr& segment) {
    if (segment.p_filesz > kMostNoteBytes) return;
    elf_.build_id = build_id_in_notes(
        file_.bytes(segment.p_offset, segment.p_filesz, "note segment"), segment.p_align);
  }

  void read_dynamic(const Elf64_Phdr& segment) {
    if (segment.p_filesz > kMostDynamicBytes) file_.damaged("its dynamic section is too large");
    const auto table = file_.array<Elf64_Dyn>(
        segment.p_offset, segment.p_filesz / sizeof(Elf64_Dyn), "dynamic section");
    strings_ = value_of(table, DT_STRTAB);
    for (std::size_t i = 0; i < table.size() && table[i].d_tag != DT_NULL; ++i)
      if (names_a_string(table[i].d_tag))
        add_name(segment.p_offset + i * sizeof(Elf64_Dyn), table[i]);
    if (elf_.interpreter) find_room(segment.p_offset, table);
    if (const auto versions = value_of(table, DT_VERNEED))
      read_versions(offset_of(*versions), value_of(table, DT_VERNEEDNUM).value_or(0));
  }

  static bool names_a_string(std::int64_t tag) {
    return tag == DT_NEEDED || tag == DT_SONAME || tag == DT_RPATH || tag == DT_RUNPATH;
  }

  static std::optional<std::uint64_t> value_of(const std::vector<Elf64_Dyn>& table,
                                               std::int64_t tag) {
    for (const Elf64_Dyn& entry : table) {
      if (entry.d_tag == tag) return entry.d_un.d_val;
      if (entry.d_tag == DT_NULL) break;
    }
    return std::nullopt;
  }

  void add_name(std::uint64_t offset, const Elf64_Dyn& entry) {
    elf_.names.push_back(
        {offset,
         entry.d_tag,
         {offset + offsetof(Elf64_Dyn, d_un), entry.d_un.d_val, string_at(entry.d_un.d_val)}});
  }

  void find_room(std::uint64_t offset, const std::vector<Elf64_Dyn>& table) {
    const auto end = std::find_if(table.begin(), table.end(),
                                  [](const Elf64_Dyn& entry) { return entry.d_tag == DT_NULL; });
    // One end mark must remain.
    if (table.end() - end >= 2 && end[1].d_tag == DT_NULL)
      elf_.free_entry = offset + static_cast<std::uint64_t>(end - table.begin()) * sizeof *end;
    for (const ElfFile::Dynamic& entry : elf_.names)
      if (entry.name.text.find(kDefinesFreeName) != std::string::npos) return;
    if (strings_) find_free_name(value_of(table, DT_STRSZ).value_or(0));
  }

  void find_free_name(std::uint64_t size) {
    if (size == 0 || size > kMostStringBytes) return;
    const std::uint64_t offset = offset_of(*strings_);
    const auto raw = file_.bytes(offset, size, "string table");
    const std::string_view text(reinterpret_cast<const char*>(raw.data()), raw.size());
    for (const std::string_view name : kFreeNames) {
      const auto found = text.find(name);
      if (found == std::string_view::npos) continue;
      elf_.free_name =
          ElfName{offset + found + 1, found + 1, std::string(name.substr(1, name.size() - 2))};
      return;
    }
  }

  void read_versions(std::uint64_t offset, std::uint64_t count) {
    for (std::uint64_t i = 0; i < std::min(count, kMostVersionFiles); ++i) {
      const auto entry = file_.object<Elf64_Verneed>(offset, "version table");
      elf_.version_files.push_back(
          {offset + offsetof(Elf64_Verneed, vn_file), entry.vn_file, string_at(entry.vn_file)});
      if (entry.vn_next == 0) return;
      offset += entry.vn_next;
    }
  }

  std::string string_at(std::uint64_t value) const {
    if (!strings_) file_.damaged("its dynamic section has no string table");
    if (*strings_ + value < value) file_.damaged("a name lies outside its string table");
    return file_.text(offset_of(*strings_ + value), kLongestString, "string table");
  }

  // Where in the file the byte lies that is loaded at `address`.
  std::uint64_t offset_of(std::uint64_t address) const {
    for (const Elf64_Phdr& segment : elf_.segments) {
      if (segment.p_type != PT_LOAD || address < segment.p_vaddr) continue;
      const std::uint64_t distance = address - segment.p_vaddr;
      const std::uint64_t offset = segment.p_offset + distance;
      if (distance < segment.p_filesz && offset >= distance) return offset;
    }
    file_.damaged("a table of its dynamic section is not in the file");
  }

  const FileReader& file_;
  ElfFile& elf_;
  std::optional<std::uint64_t> strings_;
};

std::uint64_t aligned(std::uint64_t value, std::uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

}  // namespace

std::string ElfFile::first_name(std::int64_t tag) const {
  for (const Dynamic& entry : names)
    if (entry.tag == tag) return entry.name.text;
  return {};
}

ElfFile read_elf(int fd, const std::string& name) {
  const FileReader file(fd, name);
  const Elf64_Ehdr header = read_header(file);
  ElfFile elf;
  elf.type = header.e_type;
  elf.segments = read_segments(file, header);
  ElfReader(file, elf).read();
  return elf;
}

std::vector<std::byte> build_id_in_notes(std::span<const std::byte> notes,
                                         std::uint64_t alignment) {
  const std::uint64_t step = alignment == 8 ? 8 : 4;
  static constexpr std::string_view kOwner("GNU\0", 4);
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr note;
    std::memcpy(&note, notes.data(), sizeof note);
    const std::uint64_t content = aligned(sizeof note + std::uint64_t{note.n_namesz}, step);
    const std::uint64_t end = content + note.n_descsz;
    if (end > notes.size()) break;
    if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == kOwner.size() &&
        std::memcmp(notes.data() + sizeof note, kOwner.data(), kOwner.size()) == 0)
      return {notes.begin() + static_cast<std::ptrdiff_t>(content),
              notes.begin() + static_cast<std::ptrdiff_t>(end)};
    notes = notes.subspan(std::min<std::uint64_t>(aligned(end, step), notes.size()));
  }
  return {};
}

}  // namespace knee::program
