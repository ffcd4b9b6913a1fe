#include "command_order.h"

#include <filesystem>
#include <stdexcept>

#include "slave/program_cache.h"

namespace knee::slave {
namespace {

std::vector<std::string> texts(capnp::List<capnp::Text>::Reader list) {
  std::vector<std::string> result;
  for (const auto text : list) result.emplace_back(text.cStr(), text.size());
  return result;
}

/// Input and output names come from a network.
void check_name(const std::string& name, const char* kind) {
  const std::filesystem::path path(name);
  bool inside = !name.empty() && path.is_relative() && name.find('\0') == name.npos;
  for (const auto& part : path) inside = inside && part != "..";
  if (!inside)
    throw std::runtime_error("the name '" + name + "' of an " + kind +
                             " file is not a relative path without '..'");
}

CommandOrder::Input read_input(proto::InputFile::Reader input) {
  CommandOrder::Input read{input.getName(), {}, input.getExecutable()};
  check_name(read.name, "input");
  const auto raw = input.getDigest();
  const auto digest =
      Digest::from_bytes({reinterpret_cast<const std::byte*>(raw.begin()), raw.size()});
  if (!digest) throw std::runtime_error("the input '" + read.name + "' has no digest of 32 bytes");
  read.digest = *digest;
  return read;
}

}  // namespace

CommandOrder read_order(proto::Command::Reader command) {
  CommandOrder order;
  order.arguments = texts(command.getArguments());
  if (order.arguments.empty() || order.arguments[0].empty())
    throw std::runtime_error("the command has no arguments, not even its own name");
  order.environment = environment_with(texts(command.getEnvironment()));
  order.folder = command.getFolder().cStr();
  for (const auto input : command.getInputs()) order.inputs.push_back(read_input(input));
  if (!order.folder.empty() && !order.inputs.empty())
    throw std::runtime_error("a command has input files or a working folder '" + order.folder +
                             "', not both: inputs are put into a folder of its own");
  order.outputs = texts(command.getOutputs());
  for (const auto& output : order.outputs) check_name(output, "output");
  order.live_input = command.getLiveStdin();
  if (order.live_input && (command.getStdin().isValue() || command.getStdin().getInline().size()))
    throw std::runtime_error("a command's standard input is given as a whole or live, not both");
  order.keep_output = command.getKeepOutput();
  order.live = command.getLive();
  return order;
}

}  // namespace knee::slave
