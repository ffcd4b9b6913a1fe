#pragma once
#include <knee/detail/use.h>
#include <knee/value.h>

#include <cstdint>
#include <vector>

#include "proto/object.capnp.h"

/// Values, uses and results as they are in messages. Pure: what a message refers to beside itself
/// is numbered here, and put there by whoever sends it.
namespace knee::detail {

/// One message holds all but what travels as a Block, and is to stay below what its reader takes.
constexpr std::size_t kMostMessage = std::size_t{16} << 20;

/// Writes the values of one message. Throws Error::usage for what is nested too deep or too much
/// for a message.
class ValueWriter {
 public:
  void write(proto::Use::Builder to, const Use& use);
  void write(proto::Value::Builder to, const Value& value);

  /// What was written refers to: by index.
  const std::vector<ObjectRef>& objects() const { return objects_; }
  const std::vector<Content>& blocks() const { return blocks_; }

 private:
  void write(proto::Content::Builder to, const Content& content);
  void write(capnp::List<proto::Value>::Builder to, const std::vector<Value>& values);
  void write(proto::Buffer::Builder to, const Value::Buffer& buffer);

  std::vector<ObjectRef> objects_;
  std::vector<Content> blocks_;
  unsigned depth_ = 0;
};

/// About what that takes in a message, in words.
std::uint64_t words_of(const Value& value);
std::uint64_t words_of(const Use& use);

/// Reads the values of one message, which refer to these. Throws DecodeError for what cannot be.
class ValueReader {
 public:
  ValueReader(const std::vector<ObjectRef>& objects, const std::vector<Content>& blocks)
      : objects_(objects), blocks_(blocks) {}
  Use read(proto::Use::Reader from) const;
  Value read(proto::Value::Reader from) const;

 private:
  Content read(proto::Content::Reader from) const;
  std::vector<Value> read(capnp::List<proto::Value>::Reader from) const;
  Value read(proto::Buffer::Reader from) const;
  const ObjectRef& object_at(std::uint32_t place) const;

  const std::vector<ObjectRef>& objects_;
  const std::vector<Content>& blocks_;
};

}  // namespace knee::detail
