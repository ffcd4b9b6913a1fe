#pragma once
#include <string>
#include <string_view>

#include "common/rpc/address.h"

namespace knee::config {

/// The address of a slave to dial. Fails with the place when it is none: no host, port 0, or two in
/// one.
rpc::Address parse_dialed(std::string_view text, const std::string& place);

/// Where slaves that dial may come. Fails with the place when it is no address.
rpc::Address parse_listened(std::string_view text, const std::string& place);

/// Fails, and says why and what to do, because TCP was not allowed. `switches` names what allows
/// it, such as "--knee-insecure".
[[noreturn]] void fail_tcp(const std::string& text, const std::string& place,
                           const std::string& switches);

}  // namespace knee::config
