#include <knee/cluster.h>
#include <knee/files.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>

#include "cli/json.h"
#include "cli/names.h"
#include "cli/place.h"
#include "cli/verbs.h"

namespace knee::cli {
namespace {

struct LsOptions {
  bool detailed = false;
  bool json = false;
  std::vector<std::string> places;
};

char letter_of(FileStatus::Type type) {
  switch (type) {
    case FileStatus::Type::file:
      return '-';
    case FileStatus::Type::folder:
      return 'd';
    case FileStatus::Type::link:
      return 'l';
    case FileStatus::Type::other:
      return '?';
  }
  return '?';
}

std::string mode_text(const FileStatus& file) {
  std::string text(1, letter_of(file.type));
  static constexpr char kLetters[] = "rwxrwxrwx";
  for (unsigned i = 0; i < 9; ++i) text += (file.mode >> (8 - i) & 1) != 0 ? kLetters[i] : '-';
  return text;
}

std::string date_text(const FileStatus& file) {
  const auto time = std::chrono::system_clock::to_time_t(file.modified);
  std::tm parts{};
  char text[64];
  if (::localtime_r(&time, &parts) == nullptr ||
      std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &parts) == 0)
    return "?";
  return text;
}

const char* word_of(FileStatus::Type type) {
  switch (type) {
    case FileStatus::Type::file:
      return "file";
    case FileStatus::Type::folder:
      return "folder";
    case FileStatus::Type::link:
      return "link";
    case FileStatus::Type::other:
      return "other";
  }
  return "other";
}

/// `place`: what the command line named, where the file is or which it is.
boost::json::object to_json(const std::string& place, const FileStatus& file) {
  char mode[16];
  std::snprintf(mode, sizeof mode, "%04o", static_cast<unsigned>(file.mode));
  boost::json::object object{
      {"place", place},
      {"name", file.name},
      {"type", word_of(file.type)},
      {"size", file.size},
      {"mode", mode},
      {"modified_s", std::chrono::duration<double>(file.modified.time_since_epoch()).count()}};
  if (file.type == FileStatus::Type::link) object["target"] = file.target;
  return object;
}

void print(const std::vector<FileStatus>& files, bool detailed) {
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const auto shown = [terminal](const std::string& name) {
    return terminal ? printable(name) : name;
  };
  std::size_t width = 0;
  for (const auto& file : files) width = std::max(width, std::to_string(file.size).size());
  for (const auto& file : files) {
    if (detailed) {
      const auto size = std::to_string(file.size);
      std::cout << mode_text(file) << ' ' << std::string(width - size.size(), ' ') << size << ' '
                << date_text(file) << ' ';
    }
    std::cout << shown(file.name);
    if (detailed && file.type == FileStatus::Type::link) std::cout << " -> " << shown(file.target);
    std::cout << '\n';
  }
}

std::vector<FileStatus> list(const Files& files, const Place& place) {
  auto status = files.status(place.path);
  if (!status)
    throw Error(Error::Kind::setup, "there is no '" + place.path + "' on slave " + place.slave);
  if (status->type == FileStatus::Type::folder) return files.list(place.path);
  status->name = place.path;
  return {*status};
}

int ls(ClusterOptions options, const LsOptions& given) {
  std::vector<Place> places;
  for (const auto& text : given.places) {
    places.push_back(parse_place(text, options.slaves));
    if (places.back().slave.empty())
      throw Error(Error::Kind::usage,
                  "'" + text +
                      "' is of this machine: a folder on a slave is named SLAVE:PATH, the "
                      "home folder SLAVE:");
  }
  Cluster cluster(std::move(options));
  boost::json::array all;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto files = list(cluster.slave(places[i].slave).files(), places[i]);
    if (given.json) {
      for (const auto& file : files) all.push_back(to_json(given.places[i], file));
      continue;
    }
    if (places.size() > 1) std::cout << (i == 0 ? "" : "\n") << given.places[i] << ":\n";
    print(files, given.detailed);
  }
  if (given.json) print_json(std::cout, all);
  std::cout.flush();
  return 0;
}

}  // namespace

Verb add_ls(CLI::App& app, const Words&) {
  auto* verb = app.add_subcommand("ls", "Lists a folder of a slave.");
  verb->footer(
      "A relative PATH begins in the home folder there, which is SLAVE: itself.\n\nExample:\n"
      "  knee ls -l gandalf:data");
  const auto given = std::make_shared<LsOptions>();
  verb->add_flag("-l", given->detailed, "Also permissions, size in bytes and time of change.");
  verb->add_flag("--json", given->json,
                 "Print a JSON array with all of that; sizes in bytes, times in seconds since "
                 "1970.");
  verb->add_option("PLACES", given->places, "Folders, or files, as SLAVE:PATH.")->required();
  const SlaveOptions slaves(*verb);
  return {verb, [slaves, given] { return ls(slaves.cluster(), *given); }};
}

}  // namespace knee::cli
