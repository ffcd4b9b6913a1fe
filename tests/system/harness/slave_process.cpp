#include "slave_process.h"

#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "tests/system/harness/process_view.h"

namespace knee::test {

SlaveProcess::SlaveProcess(Setup setup) : setup_(std::move(setup)) {
  for (const char* name : {"run", "cache", "scratch"})
    std::filesystem::create_directory(folder_ / name);
  address_ = setup_.tcp ? "127.0.0.1:0" : "unix:" + (folder_ / "run/slave.sock");
  if (setup_.start) start();
}

void SlaveProcess::launch() {
  ChildProcess::Plan plan;
  plan.arguments = setup_.around;
  const std::vector<std::string> words{
      std::getenv("KNEE_SLAVE"),   "--name", setup_.name, "--listen", address_, "--slots",
      std::to_string(setup_.slots)};
  plan.arguments.insert(plan.arguments.end(), words.begin(), words.end());
  if (setup_.tcp) plan.arguments.emplace_back("--insecure");
  plan.arguments.insert(plan.arguments.end(), setup_.flags.begin(), setup_.flags.end());
  plan.environment = setup_.environment;
  plan.environment.emplace("XDG_RUNTIME_DIR", folder_ / "run");
  plan.environment.emplace("XDG_CACHE_HOME", folder_ / "cache");
  plan.environment.emplace("TMPDIR", scratch());
  process_.emplace(plan);
}

void SlaveProcess::start() {
  launch();
  const std::string words = "listening on ";
  (void)wait_until([&] { return count_of(err(), "slots, named") != 0 || !process_->is_alive(); });
  const std::string text = err();
  const auto at = text.find(words);
  if (at == std::string::npos)
    throw std::runtime_error("knee-slave does not listen; it says:\n" + text);
  const auto begin = at + words.size();
  address_ = text.substr(begin, text.find(',', begin) - begin);
}

unsigned SlaveProcess::port() const {
  return static_cast<unsigned>(std::stoul(address_.substr(address_.rfind(':') + 1)));
}

std::vector<pid_t> SlaveProcess::family() const {
  return descendants_of(pid());
}

std::vector<pid_t> SlaveProcess::workers() const {
  return descendants_with(pid(), kWorkerWord);
}

ClusterOptions reaching(const std::vector<const SlaveProcess*>& slaves) {
  ClusterOptions options;
  for (const auto* slave : slaves) {
    options.slaves.push_back(slave->address());
    if (!slave->address().starts_with("unix:")) options.insecure = true;
  }
  options.progress = false;
  options.arguments = {"worker", kWorkerWord};
  return options;
}

ClusterOptions reaching(const SlaveProcess& slave) {
  return reaching({&slave});
}

}  // namespace knee::test
