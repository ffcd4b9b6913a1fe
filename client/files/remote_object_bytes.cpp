#include "client/files/remote_object_bytes.h"

#include <algorithm>

namespace knee::detail {
namespace {

/// How many bytes at the end begin a UTF-8 character that is longer.
std::size_t cut_at_end(const std::string& text) {
  constexpr std::size_t kLongest = 4;
  for (std::size_t back = 1; back <= std::min(kLongest, text.size()); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xc0u) == 0x80u) continue;  // not the first of a character
    const std::size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

template <class T>
Promise<T> ended(const T& value) {
  Bytes encoded;
  encode(encoded, value);
  return Promise<T>(ended_task(std::move(encoded), nullptr));
}

}  // namespace

Promise<std::string> RemoteObjectBytes::read(std::uint64_t, std::size_t most) {
  // Nothing is read ahead, so whoever asks waits for it at once.
  return ended(file_.async_call("read", most).get().get<std::string>());
}

Promise<void> RemoteObjectBytes::write(std::uint64_t, std::string bytes) {
  if (!takes_text()) return use("write", {Value::bytes(bytes)});
  bytes.insert(0, cut_);
  cut_ = bytes.substr(bytes.size() - cut_at_end(bytes));
  bytes.resize(bytes.size() - cut_.size());
  return use("write", {Value(std::move(bytes))});
}

Promise<void> RemoteObjectBytes::flush() {
  return use("flush", {});
}

Promise<std::uint64_t> RemoteObjectBytes::size() {
  throw Error(Error::Kind::usage, "the size of a remote object is not known");
}

Promise<void> RemoteObjectBytes::close() {
  if (!cut_.empty()) use("write", {Value(std::exchange(cut_, {}))}).get();
  return use("close", {});
}

/// Files of text have an encoding.
bool RemoteObjectBytes::takes_text() {
  if (takes_text_) return *takes_text_;
  try {
    file_.attr("encoding").wait();
    takes_text_ = true;
  } catch (const Error& error) {
    if (error.exception_type() != "AttributeError") throw;
    takes_text_ = false;
  }
  return *takes_text_;
}

Promise<void> RemoteObjectBytes::use(std::string method, std::vector<Value> arguments) {
  return Promise<void>(file_.send({.what = Use::What::call,
                                   .name = std::move(method),
                                   .arguments = std::move(arguments),
                                   .wanted = Use::Wanted::copy}));
}

}  // namespace knee::detail
