#pragma once

#include <string>

#include "common/base/unique_fd.h"

namespace knee::test {

/// A terminal that processes may use by its name, what they wrote there, and what is typed on it.
/// One thread.
class Terminal {
 public:
  Terminal();
  std::string name() const;
  void type(const std::string& text) const;
  /// What it takes for a key that it acts on itself (VEOF ...).
  unsigned char key(int which) const;
  /// Until it has shown `text`, after what was waited for before. False: it has not in time.
  bool wait_for(const std::string& text);

 private:
  UniqueFd us_;
  UniqueFd them_;  ///< or it would end with the first who wrote
  std::string seen_;
};

}  // namespace knee::test
