#pragma once
#include <knee/remote_stream.h>

#include <string>
#include <utility>

#include "client/files/open_file.h"

namespace knee::detail {

/// The bytes of a file on a slave.
class RemoteFileBytes final : public RemoteBytes {
 public:
  explicit RemoteFileBytes(const RemoteFile& file)
      : file_(file.object()), seekable_(file.seekable()) {}

  Promise<std::string> read(std::uint64_t offset, std::size_t most) override {
    return file_.call<&OpenFile::read>(offset, std::uint64_t{most});
  }
  Promise<void> write(std::uint64_t offset, std::string bytes) override {
    return file_.call<&OpenFile::write>(offset, bytes);
  }
  Promise<std::uint64_t> size() override { return file_.call<&OpenFile::size>(); }
  Promise<void> close() override { return file_.call<&OpenFile::close>(); }
  bool seekable() const override { return seekable_; }

 private:
  Ref<OpenFile> file_;
  bool seekable_;
};

}  // namespace knee::detail
