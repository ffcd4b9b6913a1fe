#pragma once
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <string>

#include "common/base/unique_fd.h"

namespace knee::test {

/// A terminal to read from, and what is typed on it.
class Keyboard {
 public:
  /// Says so, if there are no terminals here.
  Keyboard() : keys_(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    is_there_ = keys_ && ::grantpt(keys_.get()) == 0 && ::unlockpt(keys_.get()) == 0;
    if (!is_there_) WARN("skipped: there are no pseudo-terminals here");
  }
  bool is_there() const { return is_there_; }
  /// Of the terminal's device.
  std::string name() const { return ::ptsname(keys_.get()); }
  void type(const std::string& text) const {
    CHECK(::write(keys_.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }

 private:
  UniqueFd keys_;
  bool is_there_ = false;
};

}  // namespace knee::test
