#pragma once
#include <cstddef>
#include <istream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/invocation.h"

namespace knee::cli {

/// The arguments of a bag's jobs, one job after the other.
class Arguments {
 public:
  /// From `file` ("-": standard input) one per line, read as they are wanted, so that they need not
  /// all exist yet. Throws std::system_error.
  static Arguments from_lines(const std::string& file);
  /// Every combination of one argument from each source, the last changing fastest.
  static Arguments from_sources(const std::vector<Words::Source>& sources);

  /// Of the next job; none: there are no more.
  std::optional<std::vector<std::string>> next();

 private:
  std::shared_ptr<std::istream> lines_;
  std::vector<std::vector<std::string>> sources_;
  std::vector<std::size_t> at_;
  bool ended_ = false;
};

}  // namespace knee::cli
