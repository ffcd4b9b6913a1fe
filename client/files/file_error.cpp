#include "client/files/file_error.h"

#include <unistd.h>

#include <stdexcept>
#include <system_error>

namespace knee::detail {
namespace {

std::string advice(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      return " (user " + std::to_string(::geteuid()) +
             " may not: change the permissions, or take another place)";
    case ENOSPC:
    case EDQUOT:
      return " (make room there, or take another place)";
    case EROFS:
      return " (take another place)";
    case EMFILE:
    case ENFILE:
      return " (close some files first)";
    default:
      return {};
  }
}

}  // namespace

void fail_on_file(const std::string& what, const std::string& path, int error) {
  throw std::runtime_error("cannot " + what + " '" + path +
                           "': " + std::generic_category().message(error) + advice(error));
}

}  // namespace knee::detail
