#pragma once

#include <string>

#include "common/base/unique_fd.h"

namespace knee::test {

/// A terminal that processes may write to by its name, and what was written there. One thread.
class Screen {
 public:
  Screen();
  std::string name() const;
  /// Until it has shown `text`. False: it has not in time.
  bool wait_for(const std::string& text);

 private:
  UniqueFd us_;
  UniqueFd them_;  ///< or it would end with the first who wrote
  std::string seen_;
};

}  // namespace knee::test
