#include "slave_process.h"

#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include "tests/system/harness/process_view.h"

namespace knee::test {
namespace {

std::string shared_store() {
  static const TemporaryFolder folder;
  return folder / "store";
}

bool has_own_store(const SlaveProcess::Setup& setup) {
  return setup.own_store ||
         std::any_of(setup.flags.begin(), setup.flags.end(),
                     [](const std::string& flag) { return flag.starts_with("--store"); });
}

}  // namespace

SlaveProcess::SlaveProcess(Setup setup) : setup_(std::move(setup)) {
  for (const char* name : {"run", "cache", "scratch"})
    std::filesystem::create_directory(folder_ / name);
  std::filesystem::permissions(folder_ / "run", std::filesystem::perms::owner_all);
  if (setup_.dial.empty())
    address_ = setup_.tcp ? "127.0.0.1:0" : "unix:" + (folder_ / "run/slave.sock");
  if (setup_.start) start();
}

void SlaveProcess::launch() {
  ChildProcess::Plan plan;
  plan.arguments = setup_.around;
  const std::vector<std::string> words{std::getenv("KNEE_SLAVE"), "--name", setup_.name, "--slots",
                                       std::to_string(setup_.slots)};
  plan.arguments.insert(plan.arguments.end(), words.begin(), words.end());
  if (setup_.dial.empty()) plan.arguments.insert(plan.arguments.end(), {"--listen", address_});
  for (const auto& driver : setup_.dial)
    plan.arguments.insert(plan.arguments.end(), {"--dial", driver});
  if (setup_.tcp) plan.arguments.emplace_back("--insecure");
  if (!has_own_store(setup_)) plan.arguments.insert(plan.arguments.end(), {"--store", store()});
  plan.arguments.insert(plan.arguments.end(), setup_.flags.begin(), setup_.flags.end());
  plan.environment = setup_.environment;
  plan.environment.emplace("XDG_RUNTIME_DIR", folder_ / "run");
  plan.environment.emplace("XDG_CACHE_HOME", folder_ / "cache");
  plan.environment.emplace("TMPDIR", scratch());
  process_.emplace(plan);
}

std::string SlaveProcess::store() const {
  return has_own_store(setup_) ? folder_ / "cache/knee/store" : shared_store();
}

bool SlaveProcess::is_ready() const {
  const std::string text = err();
  if (setup_.dial.empty()) return count_of(text, "slots, named") != 0;
  return std::all_of(setup_.dial.begin(), setup_.dial.end(), [&](const std::string& driver) {
    return count_of(text, "serving " + driver) + count_of(text, "cannot reach " + driver) != 0;
  });
}

void SlaveProcess::start() {
  launch();
  const std::string words = "listening on ";
  const bool ready = wait_until([&] { return is_ready() || !process_->is_alive(); }) && is_ready();
  const std::string text = err();
  if (!ready) throw std::runtime_error("knee-slave does not start; it says:\n" + text);
  const auto at = text.find(words);
  if (at == std::string::npos) return;
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

std::uint64_t SlaveProcess::value_bytes() const {
  constexpr std::uint64_t kBlock = 512;  // of st_blocks, whatever the file system's is
  std::uint64_t bytes = 0;
  const std::string folder = "/proc/" + std::to_string(pid()) + "/fd/";
  for (const auto& descriptor : descriptors_of(pid())) {
    if (count_of(descriptor, "memfd:knee-value") == 0) continue;
    struct stat file {};
    const std::string path = folder + descriptor.substr(0, descriptor.find(' '));
    if (::stat(path.c_str(), &file) == 0)
      bytes += kBlock * static_cast<std::uint64_t>(file.st_blocks);
  }
  return bytes;
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

ClusterOptions impatient(const SlaveProcess& slave) {
  auto options = reaching(slave);
  options.cancel_grace = std::chrono::milliseconds(20);
  return options;
}

ClusterOptions listening_on(const std::string& address) {
  auto options = reaching(std::vector<const SlaveProcess*>{});
  options.listen = {address};
  return options;
}

}  // namespace knee::test
