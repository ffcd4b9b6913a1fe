#pragma once
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "common/base/digest.h"
#include "common/channel/record.h"

/// What a worker is given before its first task, as bytes.
namespace knee::slave {

struct FunctionEntry;

/// A proto::Setup. Valid until the builder's next use.
std::span<const std::byte> worker_setup(const std::string& slave, std::uint32_t slot,
                                        const std::vector<std::string>& files,
                                        channel::RecordBuilder& builder);

struct FunctionRecord {
  std::span<const std::byte> bytes;  ///< a ToWorker, valid until the builder's next use
  std::size_t next;                  ///< the first entry that is not in it
};
/// Entries from `first` on, as many as one record should hold.
FunctionRecord function_record(const std::vector<FunctionEntry>& functions, std::size_t first,
                               channel::RecordBuilder& builder);

std::span<const std::byte> shared_record(const Digest& digest, const std::string& path,
                                         channel::RecordBuilder& builder);

}  // namespace knee::slave
