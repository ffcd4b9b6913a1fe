#include "common/process/spawn_plan.h"

#include <set>
#include <stdexcept>

#include "common/process/packing.h"

namespace knee::process {
namespace {

[[noreturn]] void refuse(const SpawnPlan& plan, const std::string& why) {
  throw std::invalid_argument("cannot start '" + plan.executable + "': " + why);
}

void check_text(const SpawnPlan& plan, const std::string& text, const char* what) {
  if (text.find('\0') != std::string::npos) {
    refuse(plan, std::string(what) + " contains a zero byte");
  }
}

void check_descriptors(const SpawnPlan& plan) {
  if (plan.descriptors.size() > kMostDescriptors) {
    refuse(plan, "it is given " + std::to_string(plan.descriptors.size()) +
                     " descriptors, at most " + std::to_string(kMostDescriptors) + " can be");
  }
  std::set<int> taken;
  for (const auto& descriptor : plan.descriptors) {
    if (descriptor.there < 0) refuse(plan, "a descriptor is given a negative number");
    if (!taken.insert(descriptor.there).second) {
      refuse(plan, "descriptor " + std::to_string(descriptor.there) + " is given twice");
    }
  }
}

void pack_all(Packer& packer, const std::vector<std::string>& texts) {
  packer.number(static_cast<std::uint64_t>(texts.size()));
  for (const auto& text : texts) packer.text(text);
}

std::vector<std::string> unpack_texts(Unpacker& unpacker) {
  std::vector<std::string> texts(unpacker.count(sizeof(std::uint64_t)));
  for (auto& text : texts) text = unpacker.text();
  return texts;
}

void pack_cpus(Packer& packer, const std::vector<int>& cpus) {
  packer.number(static_cast<std::uint64_t>(cpus.size()));
  for (const int cpu : cpus) packer.number(cpu);
}

std::vector<int> unpack_cpus(Unpacker& unpacker) {
  std::vector<int> cpus(unpacker.count(sizeof(int)));
  for (int& cpu : cpus) unpacker.number(cpu);
  return cpus;
}

int next_of(std::span<const int>& here) {
  if (here.empty()) throw std::runtime_error("a spawn plan arrived without its descriptors");
  const int fd = here.front();
  here = here.subspan(1);
  return fd;
}

}  // namespace

void check(const SpawnPlan& plan) {
  if (plan.executable.empty()) refuse(plan, "no executable is named");
  check_text(plan, plan.executable, "its path");
  check_text(plan, plan.cwd, "its working folder");
  for (const auto& text : plan.arguments) check_text(plan, text, "an argument");
  for (const auto& text : plan.environment) check_text(plan, text, "an environment variable");
  check_descriptors(plan);
}

std::vector<int> descriptors_of(const SpawnPlan& plan) {
  std::vector<int> here;
  if (plan.executable_fd >= 0) here.push_back(plan.executable_fd);
  for (const auto& descriptor : plan.descriptors) here.push_back(descriptor.here);
  return here;
}

std::vector<std::byte> encode(const SpawnPlan& plan) {
  Packer packer;
  packer.text(plan.executable);
  packer.number(plan.executable_fd >= 0);
  packer.number(plan.search_path);
  pack_all(packer, plan.arguments);
  pack_all(packer, plan.environment);
  packer.text(plan.cwd);
  packer.number(static_cast<std::uint64_t>(plan.descriptors.size()));
  for (const auto& descriptor : plan.descriptors) {
    packer.number(descriptor.there);
    packer.number(descriptor.close_on_exec);
  }
  packer.number(plan.cpus.has_value());
  if (plan.cpus) pack_cpus(packer, *plan.cpus);
  packer.number(plan.open_files.has_value());
  if (plan.open_files) packer.number(*plan.open_files);
  packer.number(plan.oom_score_more);
  return packer.take();
}

SpawnPlan decode_plan(std::span<const std::byte> bytes, std::span<const int> here) {
  Unpacker unpacker(bytes);
  SpawnPlan plan;
  plan.executable = unpacker.text();
  if (unpacker.number<bool>()) plan.executable_fd = next_of(here);
  unpacker.number(plan.search_path);
  plan.arguments = unpack_texts(unpacker);
  plan.environment = unpack_texts(unpacker);
  plan.cwd = unpacker.text();
  plan.descriptors.resize(unpacker.count(sizeof(int) + sizeof(bool)));
  for (auto& descriptor : plan.descriptors) {
    descriptor.here = next_of(here);
    unpacker.number(descriptor.there);
    unpacker.number(descriptor.close_on_exec);
  }
  if (unpacker.number<bool>()) plan.cpus = unpack_cpus(unpacker);
  if (unpacker.number<bool>()) plan.open_files = unpacker.number<std::uint64_t>();
  unpacker.number(plan.oom_score_more);
  return plan;
}

}  // namespace knee::process
