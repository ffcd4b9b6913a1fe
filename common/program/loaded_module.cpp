#include "common/program/loaded_module.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <span>
#include <string_view>

#include <link.h>
#include <sys/auxv.h>

#include "common/program/elf_file.h"
#include "common/program/file_name.h"
#include "common/program/memory.h"

namespace knee::program {
namespace {

using Kind = LoadedModule::Kind;

std::span<const ElfW(Phdr)> headers_of(const LoadedModule& module) {
  return {static_cast<const ElfW(Phdr)*>(module.program_headers), module.program_header_count};
}

// Reads the tables that lie in the module's own memory. A file without section for them, or with
// addresses that lead elsewhere, has none.
class MemoryReader {
 public:
  explicit MemoryReader(const LoadedModule& module) : module_(module) {}

  std::span<const std::byte> bytes(std::uintptr_t address, std::size_t size) const {
    for (const AddressRange& range : module_.ranges)
      if (address >= range.begin && address < range.end && size <= range.end - address)
        return {memory_at<std::byte>(address), size};
    return {};
  }

  std::string text(std::uintptr_t address) const {
    for (const AddressRange& range : module_.ranges)
      if (address >= range.begin && address < range.end) {
        const auto* start = memory_at<char>(address);
        return {start, ::strnlen(start, range.end - address)};
      }
    return {};
  }

 private:
  const LoadedModule& module_;
};

void read_ranges(LoadedModule& module) {
  for (const auto& header : headers_of(module)) {
    if (header.p_type != PT_LOAD || !(header.p_flags & PF_R)) continue;
    const std::uintptr_t begin = module.bias + header.p_vaddr;
    module.ranges.push_back({begin, begin + header.p_memsz, (header.p_flags & PF_X) != 0,
                             (header.p_flags & PF_W) != 0});
  }
}

void read_build_id(LoadedModule& module) {
  for (const auto& header : headers_of(module)) {
    if (header.p_type != PT_NOTE || !module.build_id.empty()) continue;
    const auto notes = MemoryReader(module).bytes(module.bias + header.p_vaddr, header.p_memsz);
    module.build_id = build_id_in_notes(notes, header.p_align);
  }
}

// glibc writes the address in memory over DT_STRTAB of most files, other loaders leave the address
// in the file.
std::uintptr_t string_table(const LoadedModule& module, std::span<const ElfW(Dyn)> table) {
  for (const auto& entry : table)
    if (entry.d_tag == DT_STRTAB)
      return module.contains(entry.d_un.d_ptr) ? entry.d_un.d_ptr : module.bias + entry.d_un.d_ptr;
  return 0;
}

// The dynamic section up to its end mark; empty for a static program.
std::span<const ElfW(Dyn)> dynamic_of(const LoadedModule& module) {
  for (const auto& header : headers_of(module)) {
    if (header.p_type != PT_DYNAMIC) continue;
    const auto bytes = MemoryReader(module).bytes(module.bias + header.p_vaddr, header.p_memsz);
    const std::span table(reinterpret_cast<const ElfW(Dyn)*>(bytes.data()),
                          bytes.size() / sizeof(ElfW(Dyn)));
    const auto end = std::find_if(table.begin(), table.end(),
                                  [](const auto& entry) { return entry.d_tag == DT_NULL; });
    return table.first(static_cast<std::size_t>(end - table.begin()));
  }
  return {};
}

void read_names(LoadedModule& module) {
  const auto table = dynamic_of(module);
  const std::uintptr_t strings = string_table(module, table);
  if (strings == 0) return;
  const MemoryReader memory(module);
  for (const auto& entry : table) {
    if (entry.d_tag == DT_NEEDED) module.needed.push_back(memory.text(strings + entry.d_un.d_val));
    if (entry.d_tag == DT_SONAME) module.soname = memory.text(strings + entry.d_un.d_val);
  }
}

// Where the loader says, for debuggers, that it is; 0 if it does not.
std::uintptr_t loader_by_its_own_word(const LoadedModule& executable) {
  for (const auto& entry : dynamic_of(executable))
    if (entry.d_tag == DT_DEBUG && entry.d_un.d_ptr != 0)
      return memory_at<r_debug>(entry.d_un.d_ptr)->r_ldbase;
  return 0;
}

// The kernel names the loader's address, except when the loader was run as a command ("ld.so
// program").
bool is_loader(const LoadedModule& module, const LoadedModule& executable) {
  if (const std::uintptr_t base = ::getauxval(AT_BASE)) return module.contains(base);
  const std::uintptr_t base = loader_by_its_own_word(executable);
  return base != 0 && module.contains(base);
}

int add_module(dl_phdr_info* info, std::size_t, void* out) {
  auto& modules = *static_cast<std::vector<LoadedModule>*>(out);
  LoadedModule module;
  module.bias = info->dlpi_addr;
  module.program_headers = info->dlpi_phdr;
  module.program_header_count = info->dlpi_phnum;
  read_ranges(module);
  if (const auto vdso = ::getauxval(AT_SYSINFO_EHDR); vdso && module.contains(vdso)) return 0;
  if (!modules.empty() && info->dlpi_name) module.path = info->dlpi_name;
  read_build_id(module);
  read_names(module);
  modules.push_back(std::move(module));
  return 0;
}

void set_kind_and_name(std::vector<LoadedModule>& modules) {
  if (modules.empty()) return;
  modules.front().kind = Kind::kExecutable;
  bool loader_found = false;
  for (auto module = std::next(modules.begin()); module != modules.end(); ++module) {
    module->name = base_name(module->path);
    if (loader_found || !is_loader(*module, modules.front())) continue;
    loader_found = true;
    module->kind = Kind::kLoader;
    if (!module->soname.empty()) module->name = base_name(module->soname);
  }
}

void add_words(std::string_view text, std::vector<std::string>& words) {
  static constexpr std::string_view kSeparators = ": \t\n";
  while (!text.empty()) {
    const auto end = std::min(text.find_first_of(kSeparators), text.size());
    if (end > 0) words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string content_of(const char* path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The environment of now and that of the start: some preloaded files remove the variable, and
// under valgrind only the first shows its files.
std::vector<std::string> find_preloads() {
  static constexpr std::string_view kVariable = "LD_PRELOAD=";
  std::vector<std::string> preloads;
  if (const char* value = std::getenv("LD_PRELOAD")) add_words(value, preloads);
  const std::string environment = content_of("/proc/self/environ");
  for (std::size_t at = 0; at < environment.size();) {
    const std::string_view entry(environment.c_str() + at);
    if (entry.starts_with(kVariable)) add_words(entry.substr(kVariable.size()), preloads);
    at += entry.size() + 1;
  }
  add_words(content_of("/etc/ld.so.preload"), preloads);
  return preloads;
}

bool is_preload(const LoadedModule& module) {
  static const std::vector<std::string> preloads = find_preloads();
  if (module.kind != Kind::kLibrary) return false;
  return module.name.starts_with("vgpreload_") ||
         std::any_of(preloads.begin(), preloads.end(), [&module](const std::string& preload) {
           return module.path == preload || module.name == base_name(preload);
         });
}

bool needs(const LoadedModule& module, const LoadedModule& library) {
  return std::any_of(module.needed.begin(), module.needed.end(), [&library](const auto& needed) {
    return needed == library.soname || base_name(needed) == library.name;
  });
}

// A preloaded file that the program links as well (an allocator, a sanitizer) stays: what the
// program needs is found on the other machine by its name only if it travels.
void drop_preloads(std::vector<LoadedModule>& modules) {
  std::vector<bool> keep(modules.size());
  std::transform(modules.begin(), modules.end(), keep.begin(),
                 [](const LoadedModule& module) { return !is_preload(module); });
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t user = 0; user < modules.size(); ++user)
      for (std::size_t used = 0; used < modules.size(); ++used)
        if (keep[user] && !keep[used] && needs(modules[user], modules[used]))
          changed = keep[used] = true;
  }
  std::size_t index = 0;
  std::erase_if(modules, [&keep, &index](const LoadedModule&) { return !keep[index++]; });
}

}  // namespace

bool LoadedModule::contains(std::uintptr_t address) const {
  return std::any_of(ranges.begin(), ranges.end(), [address](const AddressRange& range) {
    return address >= range.begin && address < range.end;
  });
}

std::vector<LoadedModule> loaded_modules() {
  std::vector<LoadedModule> modules;
  ::dl_iterate_phdr(add_module, &modules);
  set_kind_and_name(modules);
  drop_preloads(modules);
  return modules;
}

}  // namespace knee::program
