#include <knee/cluster.h>

#include "cli/tool.h"

int main(int argc, char** argv) {
  knee::serve_if_worker();  // `knee bench` calls functions of this program on slaves
  return knee::cli::run_tool(argc, argv);
}
