#pragma once
#include <kj/async.h>
#include <boost/asio/thread_pool.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/program/program_file.h"
#include "common/rpc/byte_stream.h"
#include "proto/slave.capnp.h"

namespace knee::driver {

/// A program as it travels: described once, put into each slave's store. Lives on the RPC
/// thread; hashes and reads on the disk pool.
class Shipment {
 public:
  using Files = std::vector<program::ProgramFile>;

  /// This program, and what `ship` names.
  Shipment(boost::asio::thread_pool& disk, std::vector<std::string> ship)
      : Shipment(disk, [ship = std::move(ship)] { return program::describe_program(ship); }) {}
  /// Another one. `describe` blocks on the disk.
  Shipment(boost::asio::thread_pool& disk, std::function<Files()> describe)
      : disk_(disk), describe_(std::move(describe)) {}

  /// Why this program can never travel, naming the file; empty as long as that is not known.
  const std::string& problem() const { return problem_; }

  /// Sends what the slave lacks. Rejects when this program cannot travel.
  kj::Promise<void> send(proto::Store::Client store, rpc::Heard heard);

  /// After `send`: names the files.
  void fill(proto::Variant::Builder variant) const;

  /// What a store has room for when it holds this program: its files, and the copies of them that
  /// workers are started from. After `send`; 0 if that did not get so far.
  std::uint64_t room_needed() const;

  /// Where a function lies, as every process of the program finds it. After `send`.
  struct Place {
    std::uint32_t file;
    std::uint64_t offset;
  };
  /// Throws std::runtime_error if that is in no file that travels.
  Place locate(const void* function) const;
  /// The reverse. Throws std::runtime_error if there is no function.
  const void* find(const Place& place) const;

 private:
  kj::Promise<void> describe();
  kj::Promise<void> put(proto::Store::Client store, std::size_t index, rpc::Heard heard);

  boost::asio::thread_pool& disk_;
  std::function<Files()> describe_;
  std::shared_ptr<const Files> files_;
  std::string problem_;
  kj::Maybe<kj::ForkedPromise<void>> described_;
};

}  // namespace knee::driver
