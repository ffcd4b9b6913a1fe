#include "shipment.h"

#include <kj/debug.h>
#include <sys/utsname.h>

#include <map>

#include "client/driver/upload.h"
#include "common/program/function_address.h"
#include "common/rpc/rpc_loop.h"

namespace knee::driver {
namespace {

proto::ProgramFile::Role wire_role(program::FileRole role) {
  switch (role) {
    case program::FileRole::kExecutable:
      return proto::ProgramFile::Role::EXECUTABLE;
    case program::FileRole::kLoader:
      return proto::ProgramFile::Role::LOADER;
    case program::FileRole::kLibrary:
      return proto::ProgramFile::Role::LIBRARY;
    case program::FileRole::kExtra:
      return proto::ProgramFile::Role::EXTRA;
    case program::FileRole::kNative:
      return proto::ProgramFile::Role::NATIVE;
  }
  return proto::ProgramFile::Role::EXTRA;
}

}  // namespace

kj::Promise<void> Shipment::describe() {
  KJ_IF_MAYBE (described, described_) return described->addBranch();
  auto fork =
      rpc::offload(on(disk_),
                   [describe = describe_] { return std::make_shared<const Files>(describe()); })
          .then([this](std::shared_ptr<const Files> files) { files_ = std::move(files); },
                [this](kj::Exception&& error) {
                  problem_ = rpc::text_of(error);
                  kj::throwFatalException(kj::mv(error));
                })
          .fork();
  auto branch = fork.addBranch();
  described_ = kj::mv(fork);
  return branch;
}

kj::Promise<void> Shipment::send(proto::Store::Client store, rpc::Heard heard) {
  return describe()
      .then([this, store]() mutable {
        auto request = store.lackingRequest();
        auto digests = request.initDigests(static_cast<unsigned>(files_->size()));
        for (unsigned i = 0; i < digests.size(); ++i) digests.set(i, bytes_of((*files_)[i].digest));
        return request.send();
      })
      .then([this, store, heard](capnp::Response<proto::Store::LackingResults> lacking) mutable {
        kj::Promise<void> sent = kj::READY_NOW;
        for (const auto digest : lacking.getDigests()) {
          for (std::size_t i = 0; i < files_->size(); ++i) {
            if (digest != bytes_of((*files_)[i].digest)) continue;
            sent = sent.then([this, store, i, heard]() mutable { return put(store, i, heard); });
            break;
          }
        }
        return sent;
      });
}

kj::Promise<void> Shipment::put(proto::Store::Client store, std::size_t index, rpc::Heard heard) {
  const auto& file = (*files_)[index];
  return upload(store, disk_, {file.path, file.fd.get(), file.digest, file.size, files_},
                std::move(heard));
}

void Shipment::fill(proto::Variant::Builder variant) const {
  utsname names{};
  ::uname(&names);
  variant.setArchitecture(names.machine);
  auto files = variant.initFiles(static_cast<unsigned>(files_->size()));
  for (unsigned i = 0; i < files.size(); ++i) {
    const auto& file = (*files_)[i];
    files[i].setName(file.name);
    files[i].setRole(wire_role(file.role));
    files[i].setDigest(bytes_of(file.digest));
    files[i].setSize(file.size);
  }
}

std::uint64_t Shipment::room_needed() const {
  if (files_ == nullptr) return 0;
  std::map<Digest, std::uint64_t> sizes;  // a file may have several names
  for (const auto& file : *files_) sizes.emplace(file.digest, file.size);
  std::uint64_t bytes = 0;
  for (const auto& [digest, size] : sizes) bytes += size;
  return 2 * bytes;
}

Shipment::Place Shipment::locate(const void* function) const {
  const auto address = program::locate(function);
  const auto file = program::index_of_module(*files_, address.module);
  if (file >= files_->size())
    throw std::runtime_error("the task's function lies in '" + address.module +
                             "', which was loaded after the program had been shipped: name it in "
                             "ClusterOptions.ship, or load it before the Cluster is made");
  return {static_cast<std::uint32_t>(file), address.offset};
}

const void* Shipment::find(const Place& place) const {
  if (!files_ || place.file >= files_->size())
    throw std::runtime_error("a call of a function in a file that does not travel");
  return program::resolve({program::module_of((*files_)[place.file]), place.offset});
}

}  // namespace knee::driver
