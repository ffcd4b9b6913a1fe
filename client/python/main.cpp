#include <knee/cluster.h>

#include <signal.h>

#include <cstdio>

#include "client/python/interpreter.h"
#include "client/worker/object_server.h"

/// knee-python: the process of a Python session. A slave starts it.
int main() {
  ::signal(SIGINT, SIG_IGN);  // until there is something to be interrupted
  knee::worker::how_homes_begin() = knee::python::start_session;
  knee::serve_if_worker();
  std::fputs("knee-python is started by knee-slave, for a Python session of a driver\n", stderr);
  return 2;
}
