#pragma once

#include <string>
#include <vector>

#include "common/program/program_file.h"

namespace knee::program {

/// One file of a program that came to this machine. `name` is as in ProgramFile; `blob` is where
/// its content lies, which is never changed. Entries with equal `blob` are one file with several
/// names.
struct ShippedFile {
  FileRole role = FileRole::kLibrary;
  std::string name;
  std::string blob;
};

/// How to start a materialized program. A plain value.
///
/// Unless `through_loader`, execve `executable`, with `interpreter` (if not empty) opened for
/// reading at descriptor kInterpreterDescriptor in the new process and LD_LIBRARY_PATH set by
/// add_library_path(environment, library_folder). The soft limit of open files must be above that
/// number, or dup2 fails.
///
/// The kernel opens the interpreter before it closes descriptors, so close-on-exec at
/// kInterpreterDescriptor is enough to start. But the copy's interpreter is named by that
/// descriptor: for a program that starts itself again (execv("/proc/self/exe"), which else fails
/// with ENOENT) it must stay open, without close-on-exec; what the program starts then inherits it.
/// The libraries are found again without LD_LIBRARY_PATH, by a DT_RPATH in the copy, in programs
/// that have room for it: those of GNU ld and gold, not of lld.
///
/// execve may fail with ETXTBSY for a moment after materialize(): a child that another thread
/// forked meanwhile holds the copy open for writing until it execs. Then try again.
struct Launch {
  /// High, since gdb opens low ones of its own and a low number in the copy makes it hang.
  static constexpr int kInterpreterDescriptor = 999;

  std::string executable;      ///< absolute path of the copy, named as the driver's executable
  std::string interpreter;     ///< absolute path of the shipped loader; empty: static program
  std::string library_folder;  ///< absolute path; empty: static program
  std::string argv0;           ///< base name of the executable, for when argv[0] is not known

  /// The fallback when the program cannot name the descriptor (no room for it in the file, or no
  /// /proc here): run `interpreter` as a command. /proc/self/exe and comm are then the loader's.
  bool through_loader = false;

  /// The path to give to execve.
  const std::string& command() const { return through_loader ? interpreter : executable; }

  /// The arguments to give to execve for a program with arguments `argv` (argv[0] included; if
  /// empty, argv0 alone).
  std::vector<std::string> arguments(std::vector<std::string> argv) const;
};

/// Makes the folder `target` in which a shipped program can run, unless it exists: the executable,
/// its loader and libraries under their names, ELF files changed where the node's own libraries
/// would else win (elf_patch.h). All are copies, or share blocks where the file system can: a link
/// would change the blob's link count, by which its store knows it.
///
/// `target` must be an absolute path whose parent exists; the same `target` must always mean the
/// same files, so put a digest of the list into its name. It appears whole or not at all, and any
/// number of threads and processes may make the same one at once. It holds no locks and belongs to
/// the caller, who removes it; a crash may leave `target`.new-XXXXXX beside it. It is not synced to
/// the disk: do not trust a folder from before a power failure.
///
/// Throws std::runtime_error (ElfError, std::system_error among them), saying which file or folder
/// and why: no or two executables, a script, another architecture, a damaged file, a name that is
/// no file name, no loader for a program that needs one, a file system mounted noexec or full.
/// Blocks on the disk.
Launch materialize(const std::vector<ShippedFile>& files, const std::string& target);

}  // namespace knee::program
