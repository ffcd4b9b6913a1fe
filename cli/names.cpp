#include "cli/names.h"

namespace knee::cli {

std::string printable(std::string name) {
  for (char& c : name)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '?';
  return name;
}

}  // namespace knee::cli
