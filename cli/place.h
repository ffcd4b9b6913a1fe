#pragma once
#include <string>
#include <vector>

namespace knee::cli {

/// A file or folder as the command line names it: "gandalf:data/x" on a slave, "data/x" here.
struct Place {
  std::string slave;  ///< empty: here
  std::string path;

  bool operator==(const Place&) const = default;
};

/// The slave's name ends at the first colon, unless a slash comes before that, which makes it a
/// path here ("./a:b"). A name with colons, which is an address, is taken whole if it is one of
/// `addresses`, those of the slaves in use, or has brackets: "[::1]:18812:data/x".
Place parse_place(const std::string& text, const std::vector<std::string>& addresses);

}  // namespace knee::cli
