#include "call_wire.h"

#include <span>

#include "client/call/block.h"

namespace knee::detail {
namespace {

/// What a message with a call or its result has beside what is encoded.
constexpr std::uint64_t kWordsBeside = 32;

std::uint64_t words_of(const Bytes& encoded) {
  return is_inline(encoded.size()) ? encoded.size() / sizeof(capnp::word) + kWordsBeside
                                   : kWordsBeside;
}

capnp::Data::Reader data_of(const Bytes& encoded) {
  return {reinterpret_cast<const kj::byte*>(encoded.data()), encoded.size()};
}

std::span<const std::byte> bytes_of(capnp::Data::Reader data) {
  return {reinterpret_cast<const std::byte*>(data.begin()), data.size()};
}

Content shown(const Arguments& encoded) {
  return {encoded, encoded->data(), encoded->size()};
}

}  // namespace

capnp::RemotePromise<proto::Object::CallResults> send_call(
    proto::Object::Client& object, const CallPlace& place, const Arguments& arguments,
    const std::vector<ObjectRef>& objects, const CallIdentity& identity,
    const std::function<proto::Object::Client(const ObjectRef&)>& offer) {
  auto request = object.callRequest(capnp::MessageSize{words_of(*arguments) + objects.size(),
                                                       static_cast<unsigned>(objects.size() + 1)});
  auto call = request.initCall();
  call.setFile(place.file);
  call.setOffset(place.offset);
  if (is_inline(arguments->size()))
    call.setArguments(data_of(*arguments));
  else
    offer_block(call.initLarge(), shown(arguments));
  call.setChain(identity.chain);
  call.setNumber(identity.number);
  auto list = call.initObjects(static_cast<unsigned>(objects.size()));
  for (unsigned i = 0; i < list.size(); ++i) list.set(i, offer(objects[i]));
  return request.send();
}

kj::Promise<Arguments> take_arguments(proto::Call::Reader call) {
  if (!call.hasLarge()) return Arguments(std::make_shared<Bytes>(bytes_of(call.getArguments())));
  return fetch_block(call.getLarge()).then([](std::shared_ptr<Bytes> bytes) -> Arguments {
    return bytes;
  });
}

void write_result(proto::CallResult::Builder to, Bytes result, std::shared_ptr<const void> with) {
  if (is_inline(result.size())) return to.setValue(data_of(result));
  auto content = shown(std::make_shared<const Bytes>(std::move(result)));
  content.owner =
      std::make_shared<std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>>(
          std::move(content.owner), std::move(with));
  offer_block(to.initLarge(), content);
}

capnp::MessageSize size_of_result(const Bytes& result) {
  return {words_of(result), 2};
}

kj::Promise<Bytes> read_result(proto::CallResult::Reader result) {
  if (result.isValue()) return Bytes(bytes_of(result.getValue()));
  return fetch_block(result.getLarge()).then([](std::shared_ptr<Bytes> bytes) {
    return std::move(*bytes);
  });
}

}  // namespace knee::detail
