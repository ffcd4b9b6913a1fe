#pragma once
#include <ostream>
#include <string>
#include <vector>

namespace knee::cli {

/// Rows of text in aligned columns, for people.
class Table {
 public:
  explicit Table(std::vector<std::string> heads) : rows_{std::move(heads)} {}

  /// As many cells as there are heads, or fewer.
  void add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  void print(std::ostream& out) const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

/// "3.1 GB", "42 kB"
std::string size_text(double bytes);
/// "85 us", "1.20 s"
std::string time_text(double seconds);

}  // namespace knee::cli
