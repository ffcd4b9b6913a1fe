#pragma once
#include <boost/json.hpp>

#include <ostream>

namespace knee::cli {

/// One line of JSON. Bytes that are no UTF-8, as the name of a file may have, become U+FFFD.
void print_json(std::ostream& out, const boost::json::value& value);

}  // namespace knee::cli
