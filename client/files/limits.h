#pragma once
#include <cstddef>
#include <cstdint>

namespace knee::detail {

/// Bytes a call carries at most, either way. One carries 16 MiB, and others may wait behind it.
inline constexpr std::uint64_t kMostInACall = std::uint64_t{8} << 20;
/// Of a copy or a fast stream in one call: large enough that calls cost nothing beside it.
inline constexpr std::size_t kChunk = std::size_t{1} << 20;

}  // namespace knee::detail
