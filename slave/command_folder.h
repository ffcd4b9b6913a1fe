#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "common/base/unique_fd.h"
#include "slave/command_order.h"
#include "slave/store/blob_store.h"

namespace knee::slave {

/// A file a command made.
struct CommandOutput {
  std::string name;
  bool executable = false;
  std::string content;  ///< of a small one
  UniqueFd file;        ///< of a large one, open for reading; it may have no name any more
  std::uint64_t size = 0;
};

struct CommandOutputs {
  std::vector<CommandOutput> files;
  std::vector<std::string> missing;
};

/// The scratch folder of one command, and all that is done there. Its calls but the constructor and
/// `abandon` block on the disk: not on the loop. Several threads may call. It does not remove
/// itself.
class CommandFolder {
 public:
  /// Makes a new folder below `scratch`. Throws std::system_error.
  explicit CommandFolder(const std::string& scratch);

  const std::string& path() const { return path_; }

  /// Puts the inputs there. Throws std::runtime_error or std::system_error that names the file;
  /// also when the folder was removed meanwhile.
  /// Returns the name of an input that is not in the store (any more), or nothing.
  std::optional<std::string> place(BlobStore& store,
                                   const std::vector<CommandOrder::Input>& inputs);

  /// Removes it with all it holds. Processes of the command that still die may write into it: tries
  /// for a second.
  void remove();
  /// `place` may stop: nobody waits for it.
  void abandon() { abandoned_ = true; }

 private:
  std::string path_;
  std::mutex mutex_;  ///< placing and removing exclude each other
  std::atomic<bool> abandoned_{false};
};

/// The file argv[0] means: an input of that name, else found by the PATH of the order's
/// environment, else a path from the working folder. Throws std::runtime_error that names slave and
/// PATH. Blocks on the disk.
std::string find_executable(const CommandOrder& order, const std::string& folder,
                            const std::string& slave);

/// Opens the outputs below `folder`: files, and of folders all files below them; links to files are
/// like copies of these, links to folders below an output are not followed. What is no regular
/// file, cannot be opened, or is one of too many for a message, is missing. Throws
/// std::runtime_error or std::system_error that names the output when it cannot be read to its end,
/// when descriptors or memory are short, and when large outputs, also those of other commands that
/// were not fetched yet, would leave less than a quarter of the process's descriptors to others.
/// Blocks on the disk.
CommandOutputs collect_outputs(const std::string& folder, const std::vector<std::string>& names);

}  // namespace knee::slave
