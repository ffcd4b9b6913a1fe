// Runs an existing program on every file of a folder, with no code of yours in it:
//   command_bag FOLDER COMMAND [ARGUMENT...]
// {} in an argument becomes the file's name. The file travels to the slave; what the command prints
// comes back as FILE.out beside it. For instance:  command_bag spectra sort -g {}
#include <knee/knee.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

namespace fs = std::filesystem;

std::vector<fs::path> files_in(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().extension() != ".out")
      files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

std::string replace_braces(std::string text, const std::string& name) {
  for (std::size_t at = 0; (at = text.find("{}", at)) != text.npos; at += name.size())
    text.replace(at, 2, name);
  return text;
}

knee::Command command_for(const fs::path& file, const std::vector<std::string>& words) {
  knee::Command command;
  for (const auto& word : words)
    command.arguments.push_back(replace_braces(word, file.filename().string()));
  command.inputs.push_back({.path = file.string(), .name = ""});  // there under its own name
  return command;
}

// True if the command succeeded. A non-zero exit code is a result like any other; get() throws if
// there is none, for example because no slave has such a program.
bool take(const fs::path& file, knee::Promise<knee::CommandResult>& promise) try {
  const knee::CommandResult result = promise.get();
  std::ofstream(file.string() + ".out", std::ios::binary) << result.out;
  if (result.exit_code != 0)
    std::cerr << file.string() << ": exit code " << result.exit_code << " on " << result.slave
              << '\n'
              << result.err;
  return result.exit_code == 0;
} catch (const knee::Error& error) {
  std::cerr << file.string() << ": " << error.what() << '\n';
  return false;
}

int main(int argc, char** argv) {
  knee::Cluster cluster(argc, argv);
  if (argc < 3 || !fs::is_directory(argv[1])) {
    std::cerr << "usage: " << argv[0] << " FOLDER COMMAND [ARGUMENT...]\n";
    return 2;
  }
  const std::vector<std::string> words(argv + 2, argv + argc);
  std::vector<std::pair<fs::path, knee::Promise<knee::CommandResult>>> running;
  for (const auto& file : files_in(argv[1]))
    running.emplace_back(file, cluster.run(command_for(file, words)));

  std::size_t failed = 0;
  for (auto& [file, promise] : running) failed += !take(file, promise);
  std::cout << running.size() - failed << " of " << running.size() << " files done\n";
  return failed == 0 ? 0 : 1;
}
