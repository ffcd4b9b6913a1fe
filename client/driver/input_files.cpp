#include "input_files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "client/driver/upload.h"
#include "common/base/check.h"
#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// What a store was asked about is among the last to be evicted. Should it be gone all the same,
/// the command comes back, and `forget` lets the next attempt ask again.
constexpr auto kTrusted = std::chrono::minutes(5);
/// Files from this size on are worth writing their digests down for the next run.
constexpr std::uint64_t kWorthRemembering = std::uint64_t{16} * 1024 * 1024;

UniqueFd open_input(const std::string& path) {
  // A pipe must not hold up the thread.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) throw_errno("cannot open the input '" + path + "'");
  return fd;
}

InputBlob describe_file(const std::string& path, const std::string& name,
                        program::DigestCache& digests) {
  const UniqueFd fd = open_input(path);
  struct stat status {};
  check(::fstat(fd.get(), &status), "cannot look at an input file");
  if (!S_ISREG(status.st_mode))
    throw std::runtime_error("the input '" + path + "' is not a regular file");
  InputBlob blob{path, name, digests.digest_of(fd.get(), path),
                 static_cast<std::uint64_t>(status.st_size), (status.st_mode & 0111) != 0};
  if (blob.size >= kWorthRemembering) digests.save();
  return blob;
}

/// Also a link to one. A link that leads nowhere, or round in a circle, is none.
bool is_regular_file(const fs::directory_entry& member) {
  std::error_code broken;
  return member.is_symlink() ? member.is_regular_file(broken) : member.is_regular_file();
}

void describe_folder(const InputFile& folder, program::DigestCache& digests,
                     std::vector<InputBlob>& into) {
  for (const auto& member : fs::recursive_directory_iterator(folder.path)) {
    if (!is_regular_file(member)) continue;
    // Not fs::relative, which gives the name of what a link leads to.
    const auto name = fs::path(folder.name) / member.path().lexically_relative(folder.path);
    into.push_back(describe_file(member.path(), name, digests));
  }
}

InputBlobs describe_all(const std::vector<InputFile>& inputs, program::DigestCache& digests) {
  auto blobs = std::make_shared<std::vector<InputBlob>>();
  for (const auto& input : inputs) {
    if (fs::is_directory(input.path))
      describe_folder(input, digests, *blobs);
    else
      blobs->push_back(describe_file(input.path, input.name, digests));
  }
  return blobs;
}

}  // namespace

InputFiles::InputFiles(boost::asio::thread_pool& disk)
    : disk_(disk),
      digests_(std::make_shared<program::DigestCache>(program::DigestCache::default_path())) {}

kj::Promise<InputBlobs> InputFiles::describe(const std::vector<InputFile>& inputs) {
  return rpc::offload(on(disk_),
                      [inputs, digests = digests_] { return describe_all(inputs, *digests); });
}

kj::Promise<void> InputShipment::send(proto::Store::Client store,
                                      const std::vector<InputBlob>& blobs) {
  const auto now = Clock::now();
  auto unknown = std::make_shared<std::vector<InputBlob>>();
  kj::Vector<kj::Promise<void>> waits;
  for (const auto& blob : blobs) {
    const auto known = known_.find(blob.digest);
    if (known != known_.end() && !known->second.upload->failed() &&
        now - known->second.since < kTrusted)
      waits.add(known->second.upload->wait());
    else
      unknown->push_back(blob);
  }
  if (!unknown->empty()) {
    const auto upload = std::make_shared<JointUpload>(put_lacking(store, unknown));
    waits.add(upload->wait());
    for (const auto& blob : *unknown) known_.insert_or_assign(blob.digest, Known{upload, now});
  }
  return kj::joinPromises(waits.releaseAsArray());
}

kj::Promise<void> InputShipment::put_lacking(proto::Store::Client store,
                                             std::shared_ptr<std::vector<InputBlob>> blobs) {
  auto request = store.lackingRequest();
  auto digests = request.initDigests(static_cast<unsigned>(blobs->size()));
  for (unsigned i = 0; i < digests.size(); ++i) digests.set(i, bytes_of((*blobs)[i].digest));
  return request.send().then(
      [this, store, blobs](capnp::Response<proto::Store::LackingResults> lacking) mutable {
        kj::Promise<void> sent = kj::READY_NOW;
        for (const auto digest : lacking.getDigests()) {
          const auto blob = std::find_if(blobs->begin(), blobs->end(), [&](const InputBlob& one) {
            return digest == bytes_of(one.digest);
          });
          if (blob == blobs->end()) continue;
          sent = sent.then([this, store, blobs, blob]() mutable { return put(store, *blob); });
        }
        return sent;
      });
}

void InputShipment::forget(const std::vector<InputBlob>& blobs) {
  for (const auto& blob : blobs) {
    const auto known = known_.find(blob.digest);
    if (known != known_.end() && known->second.upload->ended()) known_.erase(known);
  }
}

kj::Promise<void> InputShipment::put(proto::Store::Client store, const InputBlob& blob) {
  return lane_.take(blob.size).then([this, store, blob](kj::Own<UploadLane::Turn> turn) mutable {
    return rpc::offload(
               on(files_.disk()),
               [path = blob.path] { return std::make_shared<const UniqueFd>(open_input(path)); })
        .then([this, store, blob](std::shared_ptr<const UniqueFd> fd) mutable {
          return upload(store, files_.disk(), {blob.path, fd->get(), blob.digest, blob.size, fd},
                        heard_);
        })
        .attach(kj::mv(turn));
  });
}

}  // namespace knee::driver
