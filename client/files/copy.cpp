#include "client/files/copy.h"

#include <filesystem>

#include "client/files/file_copy.h"

namespace knee::detail {

std::string join(const std::string& folder, const std::string& name) {
  if (folder.empty() || name.empty()) return folder + name;
  return folder.ends_with('/') ? folder + name : folder + "/" + name;
}

std::string name_in_folder(const std::string& path) {
  std::filesystem::path whole(path);
  if (!whole.has_filename()) whole = whole.parent_path();
  const std::string name = whole.filename();
  return name == "." || name == ".." || name == "/" ? "" : name;
}

CopyReport Copy::run(const std::string& source, const std::string& target) {
  const auto there = from_.ask<&FileService::status>(source);
  if (!there)
    throw Error(Error::Kind::setup,
                "cannot copy '" + from_.name_of(source) + "': there is no such file");
  const bool is_folder = there->type == FileStatus::Type::folder;
  if (is_folder && !options_.recursive)
    throw Error(Error::Kind::setup, "cannot copy '" + from_.name_of(source) +
                                        "': it is a folder (CopyOptions::recursive, or knee cp "
                                        "-r, copies all that is in it)");
  std::string final_target = target;
  const auto before = to_.ask<&FileService::status>(target);
  if (before && before->type == FileStatus::Type::folder)
    final_target = join(target, name_in_folder(source));
  if (is_folder)
    copy_folder(source, final_target, there->mode);
  else
    copy_file(source, final_target);
  return std::move(report_);
}

void Copy::copy_file(const std::string& source, const std::string& target) {
  FileCopy copy(from_, source, to_, target);
  const auto report = [&] {
    if (!options_.progress) return;
    const auto& standing = copy.standing();
    options_.progress(
        {from_.name_of(source), standing.done(), standing.size, standing.resumed, report_.files});
  };
  try {
    copy.run(options_.sync, report);
  } catch (const ThrownByUser& thrown) {
    std::rethrow_exception(thrown.error);
  } catch (const Error& error) {
    std::string text = "cannot copy '" + from_.name_of(source) + "' to '" + to_.name_of(target) +
                       "': " + error.what();
    if (const auto kept = copy.kept(); !kept.empty())
      text += "; what has come is kept as '" + kept + "': copy again, and it goes on from there";
    throw Error(error.kind(), text, {error.slave(), error.task(), error.attempt()},
                error.exception_type(), error.exception_text());
  }
  ++report_.files;
  report_.bytes += copy.standing().travelled;
  report_.resumed += copy.standing().resumed;
}

void Copy::copy_folder(const std::string& source, const std::string& target, std::uint32_t mode) {
  // Before the target is made, which may be in it.
  const auto members = from_.list(source);
  to_.ask<&FileService::make_folder>(target, mode);
  for (const auto& member : members)
    copy_member(member, join(source, member.name), join(target, member.name));
}

void Copy::copy_member(const FileStatus& member, const std::string& source,
                       const std::string& target) {
  switch (member.type) {
    case FileStatus::Type::file:
      return copy_file(source, target);
    case FileStatus::Type::folder:
      return copy_folder(source, target, member.mode);
    case FileStatus::Type::link:
      to_.ask<&FileService::make_link>(target, member.target);
      ++report_.files;
      return;
    case FileStatus::Type::other:
      report_.left_out.push_back(from_.name_of(source));
  }
}

}  // namespace knee::detail
