#pragma once
#include <boost/json.hpp>

#include <ostream>

namespace knee::cli {

/// One line of JSON.
void print_json(std::ostream& out, const boost::json::value& value);

}  // namespace knee::cli
