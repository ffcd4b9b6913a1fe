#include "command_job.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <set>

#include <knee/error.h>

#include "client/call/task_access.h"

namespace knee::driver {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& label, const std::string& why) {
  throw Error(Error::Kind::usage, label + " cannot be run: " + why);
}

void check_name(const std::string& label, const std::string& name) {
  const fs::path path(name);
  bool inside = !name.empty() && path.is_relative();
  for (const auto& part : path) inside = inside && part != "..";
  if (!inside)
    refuse(label,
           "the file name '" + name + "' must be relative to the working folder, without '..'");
}

/// "data/x/" is called x there.
std::string last_part(const std::string& path) {
  const fs::path normal = fs::absolute(path).lexically_normal();
  return normal.has_filename() ? normal.filename() : normal.parent_path().filename();
}

}  // namespace

CommandJob::CommandJob(Command wanted) : command(std::move(wanted)) {
  if (command.arguments.empty() || command.arguments[0].empty())
    refuse("a command", "it has no arguments, not even its own name");
  label = "command " + fs::path(command.arguments[0]).filename().string();
  if (!command.folder.empty() && !command.inputs.empty())
    refuse(label, "input files can only be put into a folder of its own, not into '" +
                      command.folder + "'");
  std::set<fs::path> names;
  for (auto& input : command.inputs) {
    if (input.name.empty()) input.name = last_part(input.path);
    check_name(label, input.name);
    if (!names.insert(fs::path(input.name).lexically_normal()).second)
      refuse(label, "two of its inputs are to be named '" + input.name +
                        "' there, the second is '" + input.path +
                        "'; give them different names (InputFile::name)");
    if (::access(input.path.c_str(), R_OK) != 0)
      throw Error(Error::Kind::setup, label + " cannot be run: cannot read its input '" +
                                          input.path + "': " + std::strerror(errno));
  }
  for (const auto& output : command.outputs) check_name(label, output);
  take_live_input();
}

CommandJob::~CommandJob() {
  end_input();
}

void CommandJob::take_live_input() {
  if (!command.live_input) return;
  if (!command.input.empty())
    refuse(label, "it has both a Command::input and a Command::live_input; give it one of them");
  auto source = command.live_input->source();
  if (!source->claim())
    refuse(label,
           "its live input was given to another command before, and cannot be said again; make a "
           "LiveInput for each");
  live_input = std::move(source);
  command.live_input.reset();  // or the input would not end with the last of the user's handles
}

void CommandJob::end_input() {
  if (live_input) live_input->end();
}

bool is_command(const detail::TaskState& task) {
  return task.kind == detail::TaskState::Kind::command;
}

CommandJob& command_job(detail::TaskState& task) {
  return *static_cast<CommandJob*>(detail::Access::extra(task).get());
}

std::span<const std::byte> payload_of(detail::TaskState& task) {
  if (!is_command(task)) return detail::Access::payload(task).view();
  return std::as_bytes(std::span(command_job(task).command.input));
}

void end_live_input(detail::TaskState& task) {
  if (is_command(task) && detail::Access::extra(task) != nullptr) command_job(task).end_input();
}

}  // namespace knee::driver
