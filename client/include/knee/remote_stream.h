#pragma once
#include <cstdint>
#include <istream>
#include <memory>
#include <string>

#include <knee/files.h>
#include <knee/object.h>
#include <knee/promise.h>

namespace knee {

namespace detail {
class StreamBuffer;
}

/// Bytes elsewhere that a RemoteStream reads and writes. Calls are sent without waiting for those
/// before them, and are carried out in order.
class KNEE_EXPORT RemoteBytes {
 public:
  RemoteBytes() = default;
  RemoteBytes(const RemoteBytes&) = delete;
  virtual ~RemoteBytes();

  /// Some bytes from there on, up to `most`; none: the end.
  virtual Promise<std::string> read(std::uint64_t offset, std::size_t most) = 0;
  virtual Promise<void> write(std::uint64_t offset, std::string bytes) = 0;
  /// What was written is where others see it.
  virtual Promise<void> flush();
  /// Of all there are. Called only if `seekable`.
  virtual Promise<std::uint64_t> size() = 0;
  virtual Promise<void> close() = 0;
  /// False: offsets mean nothing, bytes come and go in the order of the calls, and nothing is read
  /// ahead.
  virtual bool seekable() const { return true; }
};

/// A std::iostream over a file on a slave, or over an open file of a Python session: goes wherever
/// an istream or an ostream goes.
///
/// What is read comes ahead, in chunks that grow to 1 MiB, several at a time; what is written goes
/// in chunks of up to 1 MiB, and nobody waits for them before `flush` or `close`. So a `getline` or
/// a `<<` is not a round trip, but `std::endl` is one.
///
/// A failure sets badbit; `error` says what it was, and with `exceptions(std::ios::badbit)` the
/// Error itself is thrown. Destruction flushes and drops failures: call `close` after writing.
/// There is one position for reading and writing, as with std::fstream. One thread.
class KNEE_EXPORT RemoteStream : public std::iostream {
 public:
  explicit RemoteStream(const RemoteFile& file);
  /// Reads with the object's `read`, 64 KiB (or characters) a time and nothing ahead, writes with
  /// its `write`. Text is UTF-8 here, whatever it is in the file. No seeking: use the object's.
  explicit RemoteStream(const Object& file);
  explicit RemoteStream(std::shared_ptr<RemoteBytes> bytes);
  RemoteStream(const RemoteStream&) = delete;
  ~RemoteStream() override;

  /// Flushes and closes. Throws the first failure of all that was written, also if badbit has
  /// told of it before.
  void close();

  /// Why badbit is set; empty: nothing has failed.
  std::string error() const;

 private:
  std::unique_ptr<detail::StreamBuffer> buffer_;
};

}  // namespace knee
