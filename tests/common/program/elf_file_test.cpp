#include "common/program/elf_file.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <system_error>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include "common/base/unique_fd.h"
#include "common/program/elf_patch.h"
#include "common/program/launch.h"
#include "sample.h"

namespace {

using knee::UniqueFd;
using knee::program::ElfError;
using knee::program::ElfFile;
using knee::program::ElfPatch;
using knee::program::read_elf;

std::string content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

ElfFile read(const std::string& text) {
  const UniqueFd fd(::memfd_create("elf", MFD_CLOEXEC));
  REQUIRE(::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  return read_elf(fd.get(), "file");
}

template <class T>
void put(std::string& text, std::size_t offset, T value) {
  std::memcpy(text.data() + offset, &value, sizeof value);
}

// Every ElfFile must be usable without a crash, and every patch must lie inside the file.
void use(const std::string& text) {
  try {
    const ElfFile elf = read(text);
    auto patches = knee::program::search_patches(elf);
    for (ElfPatch& patch : knee::program::folder_patches(elf, "$ORIGIN/../lib"))
      patches.push_back(std::move(patch));
    if (elf.interpreter)
      if (auto patch = interpreter_patch(elf, "/proc/self/fd/999")) patches.push_back(*patch);
    for (const ElfPatch& patch : patches) {
      CHECK(patch.offset <= text.size());
      CHECK(patch.bytes.size() <= text.size() - patch.offset);
    }
  } catch (const ElfError&) {
  }
}

void try_to_materialize(const std::string& text, const std::string& tiny) {
  const sample::Folder folder;
  std::ofstream(folder / "damaged") << text;
  using knee::program::FileRole;
  try {
    knee::program::materialize({{FileRole::kExecutable, "damaged", folder / "damaged"},
                                {FileRole::kLoader, "ld.so", tiny},
                                {FileRole::kLibrary, "lib.so", folder / "damaged"}},
                               folder / "target");
    CHECK(std::filesystem::file_size(folder / "target/bin/damaged") == text.size());
  } catch (const ElfError&) {
    CHECK_FALSE(std::filesystem::exists(folder / "target"));
  }
}

}  // namespace

TEST_CASE("an executable tells its interpreter, its libraries and its build id") {
  const ElfFile elf = read(content(sample::file("sample_pie")));
  REQUIRE(elf.interpreter);
  CHECK(elf.interpreter->path.find("ld-linux") != std::string::npos);
  CHECK(elf.interpreter->capacity == elf.interpreter->path.size() + 1);
  CHECK(elf.build_id.size() == 20);
  CHECK(std::any_of(elf.names.begin(), elf.names.end(), [](const ElfFile::Dynamic& entry) {
    return entry.tag == DT_NEEDED && entry.name.text == "libgreeting.so.1";
  }));
}

TEST_CASE("a library tells its own name") {
  CHECK(read(content(sample::file("libraries/libgreeting.so.1"))).first_name(DT_SONAME) ==
        "libgreeting.so.1");
}

TEST_CASE("a script is refused as what it is") {
  CHECK_THROWS_WITH(read("#!/bin/sh\n"), Catch::Contains("'file' is a script"));
}

TEST_CASE("what is no ELF file is refused") {
  CHECK_THROWS_WITH(read(""), Catch::Contains("not a compiled program"));
  CHECK_THROWS_WITH(read("\x7f"
                         "EL"),
                    Catch::Contains("not a compiled program"));
  CHECK_THROWS_WITH(read(std::string(5000, 'x')), Catch::Contains("not a compiled program"));
}

TEST_CASE("a program for another architecture is refused by its name") {
  auto text = content(sample::file("sample_tiny"));
  put<std::uint16_t>(text, offsetof(Elf64_Ehdr, e_machine), EM_S390);
  CHECK_THROWS_WITH(read(text), Catch::Contains("is built for s390, but this machine is"));
  put<std::uint16_t>(text, offsetof(Elf64_Ehdr, e_machine), 4711);
  CHECK_THROWS_WITH(read(text), Catch::Contains("ELF machine 4711"));
}

TEST_CASE("32-bit, big-endian and object files are refused") {
  const auto text = content(sample::file("sample_tiny"));
  auto changed = text;
  changed[EI_CLASS] = ELFCLASS32;
  CHECK_THROWS_WITH(read(changed), Catch::Contains("32-bit"));
  changed = text;
  changed[EI_DATA] = ELFDATA2MSB;
  CHECK_THROWS_WITH(read(changed), Catch::Contains("big-endian"));
  changed = text;
  put<std::uint16_t>(changed, offsetof(Elf64_Ehdr, e_type), ET_REL);
  CHECK_THROWS_WITH(read(changed), Catch::Contains("object file"));
}

TEST_CASE("a file that cannot be read is an error of the system") {
  CHECK_THROWS_AS(read_elf(-1, "file"), std::system_error);
}

TEST_CASE("a program cut short anywhere is refused or harmless") {
  const auto text = content(sample::file("sample_tiny"));
  for (std::size_t size = 0; size < text.size(); size += 64) {
    use(text.substr(0, size));
    try_to_materialize(text.substr(0, size), sample::file("sample_tiny"));
  }
}

TEST_CASE("a program with flipped bytes is refused or harmless") {
  const auto text = content(sample::file("sample_tiny"));
  std::mt19937 random(20240229);
  // Half of the flips go where the tables are.
  const ElfFile elf = read(text);
  std::size_t dynamic = 0;
  for (const Elf64_Phdr& segment : elf.segments)
    if (segment.p_type == PT_DYNAMIC) dynamic = segment.p_offset;
  for (int round = 0; round < 6000; ++round) {
    auto damaged = text;
    for (std::size_t flips = 1 + random() % 4; flips > 0; --flips) {
      const std::size_t places[] = {random() % 1024, dynamic + random() % 480,
                                    random() % text.size()};
      damaged[places[random() % 3]] = static_cast<char>(random());
    }
    use(damaged);
    if (round % 10 == 0) try_to_materialize(damaged, sample::file("sample_tiny"));
  }
}

TEST_CASE("notes that lie about their sizes give no build id") {
  std::vector<std::byte> notes(64, std::byte{0xff});
  CHECK(knee::program::build_id_in_notes(notes, 4).empty());
  for (std::size_t size = 0; size < 20; ++size)
    CHECK(knee::program::build_id_in_notes(std::span(notes).first(size), 8).empty());
}
