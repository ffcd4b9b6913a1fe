#include "cli/json.h"

// Boost.JSON's code, compiled here: Debian's libboost-dev has no library of it.
#include <boost/json/src.hpp>

namespace knee::cli {

void print_json(std::ostream& out, const boost::json::value& value) {
  out << boost::json::serialize(value) << '\n';
}

}  // namespace knee::cli
