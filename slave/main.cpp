#include <exception>
#include <iostream>

#include "common/process/descriptor.h"
#include "common/process/keeper_main.h"
#include "common/rpc/rpc_loop.h"
#include "slave/daemon.h"
#include "slave/options.h"
#include "slave/startup.h"

int main(int argc, char** argv) {
  // A keeper is this executable again; see common/process/keeper.h.
  if (knee::process::is_keeper(argc, argv)) return knee::process::keeper_main();
  knee::process::fill_standard_streams();
  auto parsed = knee::slave::parse_options(argc, argv);
  if (parsed.exit) return *parsed.exit;
  try {
    const auto open_files = knee::slave::prepare_process();
    return knee::slave::Daemon(std::move(parsed.options), open_files).run();
  } catch (const kj::Exception& error) {
    std::cerr << "knee-slave: " << knee::rpc::text_of(error) << '\n';
  } catch (const std::exception& error) {
    std::cerr << "knee-slave: " << error.what() << '\n';
  }
  return 1;
}
