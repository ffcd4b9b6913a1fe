// A plugin that drivers dlopen; it has a task of its own.
#include <knee/knee.h>

extern "C" void call_plugin(knee::Cluster& cluster, std::string& result) {
  result = cluster.call([](int x) { return "plugin" + std::to_string(x); }, 5).get();
}
