#include "program_cache.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "common/base/check.h"
#include "common/program/library_path.h"
#include "slave/store_server.h"

namespace knee::slave {
namespace {

/// Changes when the way programs are materialized does, so that old folders are not used.
constexpr std::string_view kRecipe = "knee-program-1";

Digest key_of(const std::vector<AnnouncedFile>& files) {
  Hasher hasher;
  hasher.update(std::as_bytes(std::span(kRecipe)));
  for (const auto& file : files) {
    hasher.update(std::as_bytes(std::span(&file.role, 1)));
    hasher.update(std::as_bytes(std::span(file.name.c_str(), file.name.size() + 1)));
    hasher.update(file.digest.bytes);
  }
  return hasher.finish();
}

program::FileRole role_of(proto::ProgramFile::Role role) {
  switch (role) {
    case proto::ProgramFile::Role::EXECUTABLE:
      return program::FileRole::kExecutable;
    case proto::ProgramFile::Role::LOADER:
      return program::FileRole::kLoader;
    case proto::ProgramFile::Role::LIBRARY:
      return program::FileRole::kLibrary;
    case proto::ProgramFile::Role::NATIVE:
      return program::FileRole::kNative;
    default:
      return program::FileRole::kExtra;
  }
}

}  // namespace

std::vector<AnnouncedFile> announced_files(proto::Variant::Reader variant) {
  std::vector<AnnouncedFile> files;
  for (const auto file : variant.getFiles())
    files.push_back({file.getName(), role_of(file.getRole()), digest_from(file.getDigest())});
  return files;
}

std::shared_ptr<PreparedProgram> prepare_program(BlobStore& store,
                                                 const std::vector<AnnouncedFile>& files) {
  std::vector<BlobPin> pins;
  std::vector<program::ShippedFile> shipped;
  for (const auto& file : files) {
    auto pin = store.pin(file.digest);
    if (!pin)
      throw std::runtime_error("the file '" + file.name + "' of the program is not in the store");
    shipped.push_back({file.role, file.name, pin->path()});
    pins.push_back(std::move(*pin));
  }
  auto prepared = std::make_shared<PreparedProgram>();
  const auto folder = [&](const std::filesystem::path& base) { return base / "program"; };
  prepared->folder = store.derived(key_of(files), [&](const std::filesystem::path& base) {
    program::materialize(shipped, folder(base));
  });
  // The folder was renamed since it was made: ask again where things are.
  prepared->launch = program::materialize(shipped, folder(prepared->folder.path()));
  if (!prepared->launch.interpreter.empty()) {
    prepared->interpreter.reset(::open(prepared->launch.interpreter.c_str(), O_RDONLY | O_CLOEXEC));
    if (!prepared->interpreter)
      throw_errno("cannot open the program's loader '" + prepared->launch.interpreter + "'");
  }
  for (const auto& file : files)
    prepared->files.push_back(program::is_executable(file.role) ? "" : file.name);
  return prepared;
}

WorkerProgram worker_program(const PreparedProgram& program, std::vector<std::string> arguments,
                             const std::vector<std::string>& environment) {
  WorkerProgram worker;
  worker.files = program.files;
  auto& plan = worker.plan;
  plan.executable = program.launch.command();
  plan.arguments = program.launch.arguments(std::move(arguments));
  plan.environment = environment_with(environment);
  program::add_library_path(plan.environment, program.launch.library_folder);
  if (program.interpreter && !program.launch.through_loader) {
    // Open in the worker too: a program that starts itself again needs it (see program::Launch).
    plan.descriptors.push_back(
        {program.interpreter.get(), program::Launch::kInterpreterDescriptor, false});
  }
  return worker;
}

std::vector<std::string> environment_with(const std::vector<std::string>& more) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  for (const auto& entry : more) {
    const auto equals = entry.find('=');
    if (equals == entry.npos || equals == 0) continue;  // names no variable
    const auto name = entry.substr(0, equals + 1);
    std::erase_if(environment, [&](const std::string& old) { return old.starts_with(name); });
    environment.push_back(entry);
  }
  return environment;
}

}  // namespace knee::slave
