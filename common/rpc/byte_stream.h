#pragma once
#include <kj/async.h>
#include <kj/function.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "proto/slave.capnp.h"

/// Moving long runs of bytes into a proto::ByteSink.
///
/// Some chunks are always on their way: Cap'n Proto's own flow control sizes its window by the
/// socket's send buffer, which may be smaller than one chunk, and would wait for each to be
/// answered.
namespace knee::rpc {

/// What travels in one message. Twice as much takes a tenth longer for the first program that a
/// slave receives, since its memory is new then.
inline constexpr std::size_t kChunk = std::size_t{256} * 1024;

/// How many of them a stream has on their way: enough for a gigabit at 30 ms there and back.
inline constexpr std::size_t kOnTheirWay = 16;

/// For a process in which messages of such a size come and go: glibc gives blocks of a chunk's size
/// back to the kernel at once, and takes a page fault for each page of the next, until the program
/// has freed a larger one (mallopt(3), M_MMAP_THRESHOLD). Any thread.
void keep_freed_chunks();

/// Called for each write that was answered, or found room behind those that are on their way: a
/// sign of life long before the last of them is answered.
using Heard = std::function<void()>;

/// Writes `bytes` and says `done`. They must stay as long as the promise; dropping it stops. Of at
/// most kChunk bytes nothing is needed after the call.
kj::Promise<void> send_bytes(proto::ByteSink::Client sink, std::span<const std::byte> bytes,
                             Heard heard = {});

/// The bytes at `offset`, at least one and at most `most`.
using Piece = std::shared_ptr<const std::vector<kj::byte>>;
using ReadPiece = kj::Function<kj::Promise<Piece>(std::uint64_t offset, std::size_t most)>;

/// The same for `size` bytes that are read piece by piece.
kj::Promise<void> send_pieces(proto::ByteSink::Client sink, std::uint64_t size, ReadPiece read,
                              Heard heard = {});

}  // namespace knee::rpc
