#include "worker_setup.h"

#include <algorithm>

#include "slave/session.h"

namespace knee::slave {
namespace {

constexpr std::size_t kFunctionsPerRecord = 64;
constexpr std::size_t kMostLabel = 256;

}  // namespace

std::span<const std::byte> worker_setup(const std::string& slave, std::uint32_t slot,
                                        const std::vector<std::string>& files,
                                        channel::RecordBuilder& builder) {
  return builder.build<proto::Setup>([&](proto::Setup::Builder setup) {
    setup.setLayoutVersion(channel::kLayoutVersion);
    setup.setSlaveName(slave);
    setup.setSlot(slot);
    setup.setChannelSize(channel::kChannelSize);
    auto names = setup.initFiles(static_cast<unsigned>(files.size()));
    for (unsigned i = 0; i < names.size(); ++i) names.set(i, files[i]);
  });
}

FunctionRecord function_record(const std::vector<FunctionEntry>& functions, std::size_t first,
                               channel::RecordBuilder& builder) {
  const std::size_t count = std::min(kFunctionsPerRecord, functions.size() - first);
  const auto bytes = builder.build<proto::ToWorker>([&](proto::ToWorker::Builder root) {
    auto table = root.initFunctions();
    table.setFirst(static_cast<std::uint32_t>(first));
    auto entries = table.initEntries(static_cast<unsigned>(count));
    for (unsigned i = 0; i < count; ++i) {
      const auto& function = functions[first + i];
      entries[i].setFile(function.file);
      entries[i].setOffset(function.offset);
      entries[i].setLabel(function.label.substr(0, kMostLabel));
    }
  });
  return {bytes, first + count};
}

std::span<const std::byte> shared_record(const Digest& digest, const std::string& path,
                                         channel::RecordBuilder& builder) {
  return builder.build<proto::ToWorker>([&](proto::ToWorker::Builder root) {
    auto shared = root.initShared();
    shared.setDigest(
        kj::arrayPtr(reinterpret_cast<const kj::byte*>(digest.bytes.data()), Digest::kSize));
    shared.setPath(path);
  });
}

}  // namespace knee::slave
