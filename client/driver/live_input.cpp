#include <knee/command.h>

#include "client/driver/input_source.h"

namespace knee {

/// What the copies of a handle share: with the last of them the input ends.
struct LiveInput::Handle {
  ~Handle() { source->close(); }
  const std::shared_ptr<driver::InputSource> source = std::make_shared<driver::InputSource>();
};

LiveInput::LiveInput() : handle_(std::make_shared<Handle>()) {}

bool LiveInput::write(std::string_view bytes) {
  return handle_->source->write(bytes);
}

void LiveInput::close() {
  handle_->source->close();
}

std::shared_ptr<driver::InputSource> LiveInput::source() const {
  return handle_->source;
}

}  // namespace knee
