#include "common/rpc/process_end.h"

#include "common/rpc/rpc_loop.h"

namespace knee::rpc {
namespace {

/// On the wire an exception is a type and a text, and each hop gives it another type.
constexpr const char* kWords = "the process it lived in has ended: ";

}  // namespace

kj::Exception process_end(const std::string& how) {
  return {kj::Exception::Type::DISCONNECTED, "", 0, kj::str(kWords, how)};
}

bool is_process_end(const kj::Exception& error) {
  return text_of(error).find(kWords) != std::string::npos;
}

}  // namespace knee::rpc
