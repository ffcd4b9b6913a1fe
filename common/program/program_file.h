#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/digest.h"
#include "common/base/unique_fd.h"

namespace knee::program {

class DigestCache;

enum class FileRole {
  kExecutable,
  kLoader,   ///< the dynamic loader, PT_INTERP of the executable
  kLibrary,  ///< found by the loader under its name
  kExtra,    ///< named by the user: a plugin to be dlopened, or data
  kNative,   ///< an executable that runs with the loader and the libraries of the node
};

/// Whether that is what is started.
constexpr bool is_executable(FileRole role) {
  return role == FileRole::kExecutable || role == FileRole::kNative;
}

/// One file that travels so that the program can run elsewhere. Owns its descriptor.
struct ProgramFile {
  FileRole role = FileRole::kLibrary;

  /// The base name under which the node must have it. A library that the program knows by two names
  /// (its SONAME and what another file calls it) comes as two entries with one digest.
  std::string name;

  std::string path;        ///< where it is here, for messages
  UniqueFd fd;             ///< open for reading; what was checked and hashed
  Digest digest;           ///< of the whole file
  std::uint64_t size = 0;  ///< bytes
};

/// What this process was started from, ready to be shipped: first the executable, then the loader
/// and the libraries (none for a static program) by which name they must be found, then the files
/// `ship` names (plugins, and the libraries only those need). A shipped file is found by its base
/// name: dlopen("plugin.so").
///
/// Each loaded file is compared with what is in memory: by build id or, if it has none, by its
/// program headers and the contents of its read-only segments (of code as well unless a debugger,
/// which writes break points there, is attached).
///
/// Throws std::runtime_error, with the file's name and what to do, if a file was rebuilt while the
/// program runs, cannot be read, is no regular file, or if two different files have one name.
/// Blocks on the disk; digests that `cache` knows are not computed again.
std::vector<ProgramFile> describe_program(const std::vector<std::string>& ship, DigestCache& cache);

/// The same with the user's cache (DigestCache::default_path()), saved afterwards.
std::vector<ProgramFile> describe_program(const std::vector<std::string>& ship);

/// An executable that is to run with the loader and the libraries of the node: one entry. Throws
/// and blocks as above.
std::vector<ProgramFile> describe_native(const std::string& path);

/// The index in `files` of the file that FunctionAddress::module or LoadedModule::name calls
/// `module` ("": the executable), or files.size() if it is not among them.
std::size_t index_of_module(const std::vector<ProgramFile>& files, const std::string& module);

/// The reverse: what a loaded module of that file is called.
std::string module_of(const ProgramFile& file);

}  // namespace knee::program
