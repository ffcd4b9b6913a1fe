#include <knee/remote_stream.h>

#include "client/files/remote_file_bytes.h"
#include "client/files/remote_object_bytes.h"
#include "client/files/stream_buffer.h"

namespace knee {

RemoteBytes::~RemoteBytes() = default;

Promise<void> RemoteBytes::flush() {
  return Promise<void>(detail::ended_task({}, nullptr));
}

RemoteStream::RemoteStream(const RemoteFile& file)
    : RemoteStream(std::make_shared<detail::RemoteFileBytes>(file)) {}

RemoteStream::RemoteStream(const Object& file)
    : RemoteStream(std::make_shared<detail::RemoteObjectBytes>(file)) {}

RemoteStream::RemoteStream(std::shared_ptr<RemoteBytes> bytes)
    : std::iostream(nullptr), buffer_(std::make_unique<detail::StreamBuffer>(std::move(bytes))) {
  rdbuf(buffer_.get());
}

RemoteStream::~RemoteStream() {
  try {
    if (!buffer_->error()) buffer_->pubsync();
  } catch (...) {
  }
}

void RemoteStream::close() {
  buffer_->close();
}

std::string RemoteStream::error() const {
  if (!buffer_->error()) return {};
  try {
    std::rethrow_exception(buffer_->error());
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "(not a std::exception)";
  }
}

}  // namespace knee
