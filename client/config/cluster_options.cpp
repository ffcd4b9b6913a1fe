#include "client/config/cluster_options.h"

#include <errno.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "client/config/help.h"
#include "client/config/resolve.h"
#include "client/config/scan.h"
#include "client/config/surroundings.h"

namespace knee::config {
namespace {

[[noreturn]] void print_and_end(const std::string& text) {
  const bool written = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  std::exit(written ? 0 : 1);
}

// Before knee.toml is read: help must come even if that is broken.
void show(Scan::Show what, const std::string& prefix) {
  if (what == Scan::Show::help) print_and_end(help_text(prefix, settings_path(process_variable)));
  if (what == Scan::Show::version) print_and_end(version_text() + "\n");
}

void keep(const std::vector<std::size_t>& kept, int& argc, char** argv) {
  // argc may be 0, and then argv may have no room for anything.
  if (argc == 0) return;
  std::size_t count = 0;
  for (const std::size_t index : kept) argv[count++] = argv[index];
  argv[count] = nullptr;
  argc = static_cast<int>(count);
}

}  // namespace

ClusterOptions cluster_options(int& argc, char** argv) {
  const std::string prefix = "--knee-";
  const std::vector<std::string> arguments(argv, argv + argc);
  const Scan scan = scan_arguments(arguments, prefix);
  show(scan.show, prefix);
  ClusterOptions options = resolve(scan.settings, process_surroundings());
  for (const std::size_t index : scan.kept) options.arguments.push_back(arguments[index]);
  keep(scan.kept, argc, argv);
  return options;
}

void refuse(const Error& error) {
  std::fflush(stdout);
  const std::string what = error.what();
  const bool needs_hint =
      what.starts_with("--knee-") && what.find("--knee-help") == std::string::npos;
  std::fprintf(stderr, "%s: %s%s\n", program_invocation_short_name, what.c_str(),
               needs_hint ? " (--knee-help explains the options)" : "");
  std::exit(2);
}

}  // namespace knee::config
