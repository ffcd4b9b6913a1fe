#include <knee/files.h>
#include <knee/slave.h>

#include <map>

#include "client/files/file_service.h"
#include "client/files/file_side.h"

namespace knee {

Files Slave::files() const {
  return Files(std::make_shared<detail::FileSide>(
      name_, [slave = *this] { return slave.make<detail::FileService>(Placement::own()); }));
}

std::map<std::string, std::string> Slave::env() const {
  try {
    return make<detail::Environment>(Placement::own())
        .call<&detail::Environment::variables>()
        .get();
  } catch (const Error& error) {
    throw detail::in_short(error);
  }
}

SlaveInfo Slave::info(std::chrono::nanoseconds patience) const {
  auto info = describe(patience);
  if (info.connected) return info;
  throw Error(Error::Kind::slave_lost, "cannot reach slave " + name_ + ": " + info.error,
              {name_, "info", 0});
}

Promise<CommandResult> Slave::shell(const std::string& line) const {
  Command command;
  // As over ssh, it starts in the home folder.
  command.arguments = {"/bin/sh", "-c", "cd && exec /bin/sh -c \"$1\"", "sh", line};
  return run(std::move(command), {.attempts = 1, .name = line});
}

}  // namespace knee
