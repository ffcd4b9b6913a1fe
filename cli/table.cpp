#include "cli/table.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <span>

namespace knee::cli {
namespace {

/// Three digits and a unit.
std::string with_unit(double value, double step, std::span<const char* const> units) {
  std::size_t unit = 0;
  while (value >= step && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  char text[48];
  const int digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  std::snprintf(text, sizeof text, "%.*f %s", digits, value, units[unit]);
  return text;
}

}  // namespace

void Table::print(std::ostream& out) const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_)
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] + 2 - row[i].size(), ' ');
    }
    out << line << '\n';
  }
}

std::string size_text(double bytes) {
  static constexpr std::array<const char*, 5> kUnits{"B", "kB", "MB", "GB", "TB"};
  return with_unit(bytes, 1000, kUnits);
}

std::string time_text(double seconds) {
  static constexpr std::array<const char*, 4> kUnits{"ns", "us", "ms", "s"};
  return with_unit(seconds * 1e9, 1000, kUnits);
}

}  // namespace knee::cli
