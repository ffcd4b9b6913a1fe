#include <knee/cluster.h>

#include "cli/tool.h"
#include "common/process/descriptor.h"

int main(int argc, char** argv) {
  knee::serve_if_worker();  // `knee bench` calls functions of this program on slaves
  knee::process::fill_standard_streams();
  return knee::cli::run_tool(argc, argv);
}
