#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <knee/ref.h>

namespace knee {

namespace detail {
class FileSide;
class OpenFile;
}  // namespace detail

/// What is known of a file without opening it. A value.
struct FileStatus {
  enum class Type : std::uint8_t {
    file,
    folder,
    link,  ///< a symbolic one; only in lists
    other  ///< a device, a pipe, a socket
  };
  std::string name;  ///< the last part of its path
  Type type = Type::file;
  std::uint64_t size = 0;  ///< bytes
  std::uint32_t mode = 0;  ///< permission bits, as `chmod` has them
  std::chrono::system_clock::time_point modified{};
  std::string target;  ///< of a link: where it leads
};

enum class OpenMode : std::uint8_t {
  read,
  write,   ///< it is made, or emptied if it is there
  append,  ///< it is made if it is not there; what is written goes to its end
  update   ///< it is made if it is not there; reading and writing, anywhere
};

/// An open file on a slave. A cheap value; copies refer to the same open file, which is closed with
/// the last of them. Any thread. Each call waits for the slave; a stream does not (RemoteStream).
/// Failures are thrown as Error and name the file, the slave and the reason.
class KNEE_EXPORT RemoteFile {
 public:
  /// Up to `most` bytes (at most 8 MiB) from there on; fewer only at the end. What cannot be
  /// seeked, as a pipe, gives what comes next: some bytes, or none at its end.
  std::string read(std::uint64_t offset, std::size_t most) const;
  void write(std::uint64_t offset, std::string_view bytes) const;
  std::uint64_t size() const;
  /// Cuts it off, or adds zeros.
  void resize(std::uint64_t size) const;
  /// Waits until its content is on the disk.
  void sync() const;
  /// What has been written may fail only here, as on some network file systems.
  void close() const;

  bool seekable() const { return seekable_; }

  /// For the library.
  RemoteFile(Ref<detail::OpenFile> file, std::shared_ptr<detail::FileSide> side, bool seekable)
      : file_(std::move(file)), side_(std::move(side)), seekable_(seekable) {}
  const Ref<detail::OpenFile>& object() const { return file_; }
  const std::shared_ptr<detail::FileSide>& side() const { return side_; }

 private:
  Ref<detail::OpenFile> file_;
  std::shared_ptr<detail::FileSide> side_;
  bool seekable_;
};

/// How far the copy of one file is.
struct CopyProgress {
  std::string path;            ///< of the file that is copied, where it is read
  std::uint64_t done = 0;      ///< bytes that are at the target, `resumed` included
  std::uint64_t size = 0;      ///< of the file, bytes
  std::uint64_t resumed = 0;   ///< bytes that were there before, from a copy that was interrupted
  std::uint64_t complete = 0;  ///< files of this copy that have been copied before this one
};

struct CopyOptions {
  /// A folder with all that is below it. Links are copied as links; devices, pipes and sockets are
  /// left out.
  bool recursive = false;
  /// Waits until the target's disk has it. Default: as `cp`, the system writes it there in its own
  /// time.
  bool sync = false;
  /// Called in the thread that copies, at the beginning of each file, after each MiB or so and at
  /// its end. What it throws ends the copy and is thrown by it.
  std::function<void(const CopyProgress&)> progress{};
};

/// What a copy has done.
struct CopyReport {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;              ///< that have travelled
  std::uint64_t resumed = 0;            ///< bytes that were there from a copy that was interrupted
  std::vector<std::string> left_out{};  ///< paths of devices, pipes and sockets
};

/// The files of a slave's machine (Slave::files), as the user that knee-slave runs as may use them.
/// Relative paths begin in that user's home folder ($HOME); `~` is not special.
///
/// A process of its own there serves them, which starts with the first call and ends when no copy
/// of this value and no file it has opened is left, so keep it while you use it. If that process or
/// the slave is lost, calls that wait fail; the next one starts a new process. A cheap value, any
/// thread; not to be used after its Cluster.
///
/// Each call waits for the slave, and throws Error, which names what was tried, the slave and the
/// reason.
class KNEE_EXPORT Files {
 public:
  /// The files of this process's machine; relative paths begin in its working folder.
  static Files here();

  /// Of what the path leads to; none: there is nothing.
  std::optional<FileStatus> status(const std::string& path) const;
  /// What is in a folder, sorted by name; empty path: the home folder.
  std::vector<FileStatus> list(const std::string& folder) const;

  /// The whole content.
  std::string read(const std::string& path) const;
  /// Makes it the whole content.
  void write(const std::string& path, std::string_view content) const;
  RemoteFile open(const std::string& path, OpenMode mode = OpenMode::read) const;

  /// Also those above it. It may be there already.
  void make_folder(const std::string& path) const;
  /// A file at `to` is replaced, and an empty folder by a folder.
  void rename(const std::string& from, const std::string& to) const;
  /// A file, a link or an empty folder.
  void remove(const std::string& path) const;

  /// Copies a file of this process's machine there, or a folder if CopyOptions::recursive says so.
  /// If `there` is a folder, into it. Permission bits are kept.
  ///
  /// Memory use does not depend on the size. The content travels in chunks, several at a time, into
  /// a file `.NAME.knee-part` beside the target, is hashed (SHA-256) at both ends, and takes the
  /// target's name when the hashes are equal; until then the target is what it was. If the copy is
  /// interrupted, by whatever, that file stays, and the next copy goes on from it if the source
  /// begins with what it holds. A file that changes while it is copied makes the copy fail.
  CopyReport upload(const std::string& here, const std::string& there,
                    const CopyOptions& options = {}) const;
  /// The reverse.
  CopyReport download(const std::string& there, const std::string& here,
                      const CopyOptions& options = {}) const;
  /// From one slave to another, through this process.
  CopyReport copy(const std::string& from, const Files& other, const std::string& to,
                  const CopyOptions& options = {}) const;

  /// For the library.
  explicit Files(std::shared_ptr<detail::FileSide> side) : side_(std::move(side)) {}

 private:
  std::shared_ptr<detail::FileSide> side_;
};

}  // namespace knee
