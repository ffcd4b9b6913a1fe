#include "command_wire.h"

#include "client/driver/upload.h"
#include "common/channel/layout.h"

namespace knee::driver {
namespace {

template <class List>
void fill_texts(List list, const std::vector<std::string>& texts) {
  for (unsigned i = 0; i < list.size(); ++i) list.set(i, texts[i]);
}

void fill_inputs(proto::Command::Builder out, const CommandJob& job) {
  auto list = out.initInputs(static_cast<unsigned>(job.inputs.size()));
  for (unsigned i = 0; i < list.size(); ++i) {
    const InputBlob& blob = job.inputs[i];
    list[i].setName(blob.name);
    list[i].setDigest(driver::bytes_of(blob.digest));
    list[i].setExecutable(blob.executable);
  }
}

proto::Command::Live live_of(Command::Output output) {
  switch (output) {
    case Command::Output::keep:
      return proto::Command::Live::NONE;
    case Command::Output::print:
      return proto::Command::Live::LINES;
    case Command::Output::pass:
      return proto::Command::Live::BYTES;
  }
  return proto::Command::Live::NONE;
}

void take_payload(proto::Payload::Reader payload, std::string& into,
                  std::vector<LargePart>& large) {
  if (payload.isValue()) {
    large.push_back({payload.getValue(), payload.getSize(), &into});
  } else {
    const auto bytes = payload.getInline();
    into.assign(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  }
}

}  // namespace

void fill_payload(proto::Payload::Builder out, std::span<const std::byte> bytes,
                  std::uint64_t ahead) {
  if (bytes.size() <= channel::kMaxInline) {
    out.setInline(kj::arrayPtr(reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()));
  } else {
    out.setValue(ahead);
    out.setSize(bytes.size());
  }
}

void fill_command(proto::Command::Builder out, const CommandJob& job, std::uint64_t task) {
  const Command& command = job.command;
  fill_texts(out.initArguments(static_cast<unsigned>(command.arguments.size())), command.arguments);
  fill_texts(out.initEnvironment(static_cast<unsigned>(command.environment.size())),
             command.environment);
  out.setFolder(command.folder);
  fill_inputs(out, job);
  fill_texts(out.initOutputs(static_cast<unsigned>(command.outputs.size())), command.outputs);
  fill_payload(out.initStdin(), std::as_bytes(std::span(command.input)), task);
  out.setLiveStdin(job.live_input != nullptr);
  out.setKeepOutput(command.output == Command::Output::keep);
  out.setLive(live_of(command.output));
}

std::vector<LargePart> take_result(proto::CommandResult::Reader from, CommandResult& result) {
  std::vector<LargePart> large;
  result.exit_code = from.getExitCode();
  result.signal = from.getSignal();
  result.cut = from.getCut();
  result.files.resize(from.getFiles().size());  // their addresses go into `large`
  for (unsigned i = 0; i < from.getFiles().size(); ++i) {
    const auto file = from.getFiles()[i];
    result.files[i].name = file.getName();
    result.files[i].executable = file.getExecutable();
    take_payload(file.getContent(), result.files[i].content, large);
  }
  for (const auto name : from.getMissing()) result.missing.emplace_back(name.cStr());
  take_payload(from.getStdout(), result.out, large);
  take_payload(from.getStderr(), result.err, large);
  return large;
}

std::vector<std::uint64_t> values_of(proto::Outcome::Reader outcome) {
  std::vector<std::uint64_t> values;
  const auto add = [&](proto::Payload::Reader payload) {
    if (payload.isValue()) values.push_back(payload.getValue());
  };
  if (outcome.isValue()) add(outcome.getValue());
  if (!outcome.isCommandEnded()) return values;
  const auto ended = outcome.getCommandEnded();
  for (const auto file : ended.getFiles()) add(file.getContent());
  add(ended.getStdout());
  add(ended.getStderr());
  return values;
}

}  // namespace knee::driver
