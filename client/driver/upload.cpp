#include "upload.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "common/base/check.h"
#include "common/rpc/byte_stream.h"
#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

rpc::Piece read_piece(const Upload& file, std::uint64_t offset, std::size_t most) {
  auto piece = std::make_shared<std::vector<kj::byte>>(most);
  const auto got = ::pread(file.fd, piece->data(), most, static_cast<off_t>(offset));
  if (got < 0) throw_errno("cannot read '" + file.path + "'");
  if (got == 0) throw std::runtime_error("'" + file.path + "' became shorter");
  piece->resize(static_cast<std::size_t>(got));
  return piece;
}

}  // namespace

kj::Promise<void> upload(proto::Store::Client store, boost::asio::thread_pool& disk, Upload file,
                         rpc::Heard heard) {
  auto request = store.putRequest();
  request.setDigest(bytes_of(file.digest));
  request.setSize(file.size);
  const auto size = file.size;
  return rpc::send_pieces(
      request.send().getSink(), size,
      [&disk, file = std::make_shared<const Upload>(std::move(file))](std::uint64_t offset,
                                                                      std::size_t most) {
        return rpc::offload(on(disk),
                            [file, offset, most] { return read_piece(*file, offset, most); });
      },
      std::move(heard));
}

}  // namespace knee::driver
