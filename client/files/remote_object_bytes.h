#pragma once
#include <knee/object.h>
#include <knee/remote_stream.h>

#include <optional>
#include <string>
#include <utility>

namespace knee::detail {

/// The bytes of a file object of a Python session: what its `read` gives and its `write` takes. A
/// file of text is read and written as UTF-8. One thread.
class RemoteObjectBytes final : public RemoteBytes {
 public:
  explicit RemoteObjectBytes(knee::Object file) : file_(std::move(file)) {}

  Promise<std::string> read(std::uint64_t offset, std::size_t most) override;
  Promise<void> write(std::uint64_t offset, std::string bytes) override;
  Promise<void> flush() override;
  Promise<std::uint64_t> size() override;
  Promise<void> close() override;
  /// Others may move its position, and that of a text says nothing of bytes.
  bool seekable() const override { return false; }

 private:
  bool takes_text();
  Promise<void> use(std::string method, std::vector<Value> arguments);

  knee::Object file_;
  std::optional<bool> takes_text_;  ///< none: nothing was written yet
  std::string cut_;                 ///< beginning of a character whose rest is still to come
};

}  // namespace knee::detail
