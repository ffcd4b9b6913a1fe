#include <knee/files.h>

#include <algorithm>
#include <deque>

#include "client/files/copy.h"
#include "client/files/file_side.h"
#include "client/files/limits.h"
#include "client/files/pending.h"
#include "client/files/remote_file_bytes.h"
#include "client/files/stream_buffer.h"

namespace knee {

using detail::FileService;
using detail::OpenFile;

// --- RemoteFile

std::string RemoteFile::read(std::uint64_t offset, std::size_t most) const {
  return side_->said(
      [&] { return file_.call<&OpenFile::read>(offset, std::uint64_t{most}).get(); });
}

void RemoteFile::write(std::uint64_t offset, std::string_view bytes) const {
  side_->said([&] {
    std::deque<detail::Pending<void>> under_way;
    for (std::size_t done = 0; done < bytes.size(); done += detail::kMostInACall) {
      const std::string piece(bytes.substr(done, detail::kMostInACall));
      under_way.push_back(file_.call<&OpenFile::write>(offset + done, piece));
      if (under_way.size() < 2) continue;
      under_way.front().get();
      under_way.pop_front();
    }
    for (auto& write : under_way) write.get();
  });
}

std::uint64_t RemoteFile::size() const {
  return side_->said([&] { return file_.call<&OpenFile::size>().get(); });
}

void RemoteFile::resize(std::uint64_t size) const {
  side_->said([&] { file_.call<&OpenFile::resize>(size).get(); });
}

void RemoteFile::sync() const {
  side_->said([&] { file_.call<&OpenFile::sync>().get(); });
}

void RemoteFile::close() const {
  side_->said([&] { file_.call<&OpenFile::close>().get(); });
}

// --- Files

Files Files::here() {
  return Files(std::make_shared<detail::FileSide>(
      "", [] { return make_ref<FileService>(std::string(".")); }));
}

std::optional<FileStatus> Files::status(const std::string& path) const {
  return side_->ask<&FileService::status>(path);
}

std::vector<FileStatus> Files::list(const std::string& folder) const {
  return side_->list(folder);
}

std::string Files::read(const std::string& path) const {
  detail::StreamBuffer buffer(std::make_shared<detail::RemoteFileBytes>(open(path)));
  std::string content;
  for (;;) {
    const std::size_t before = content.size();
    content.resize(before + std::max(detail::kChunk, before / 2));
    const auto count = buffer.sgetn(content.data() + before,
                                    static_cast<std::streamsize>(content.size() - before));
    content.resize(before + static_cast<std::size_t>(count));
    if (count == 0) return content;
  }
}

void Files::write(const std::string& path, std::string_view content) const {
  const auto file = open(path, OpenMode::write);
  file.write(0, content);
  file.close();
}

RemoteFile Files::open(const std::string& path, OpenMode mode) const {
  return side_->said([&] {
    auto file = side_->service().call<&FileService::open>(path, mode);
    const bool seekable = file.call<&OpenFile::seekable>().get();
    return RemoteFile(std::move(file), side_, seekable);
  });
}

void Files::make_folder(const std::string& path) const {
  side_->ask<&FileService::make_folder>(path, std::uint32_t{0777});
}

void Files::rename(const std::string& from, const std::string& to) const {
  side_->ask<&FileService::rename>(from, to);
}

void Files::remove(const std::string& path) const {
  side_->ask<&FileService::remove>(path);
}

CopyReport Files::upload(const std::string& here_path, const std::string& there,
                         const CopyOptions& options) const {
  return here().copy(here_path, *this, there, options);
}

CopyReport Files::download(const std::string& there, const std::string& here_path,
                           const CopyOptions& options) const {
  return copy(there, here(), here_path, options);
}

CopyReport Files::copy(const std::string& from, const Files& other, const std::string& to,
                       const CopyOptions& options) const {
  return detail::Copy(*side_, *other.side_, options).run(from, to);
}

}  // namespace knee
