#pragma once
#include <kj/exception.h>

#include <string>

namespace knee::rpc {

/// Why calls fail on what lived in a process that has ended. `how`: one sentence.
kj::Exception process_end(const std::string& how);

/// Whether it is that, also after it went through other processes. Its text (text_of) says how.
bool is_process_end(const kj::Exception& error);

}  // namespace knee::rpc
