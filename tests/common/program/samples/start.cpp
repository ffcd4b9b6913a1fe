// Starts a materialized program as a slave does. Static: it runs in a root without libraries.
//   start keep|cloexec direct|loader EXECUTABLE INTERPRETER LIBRARY_FOLDER ARGV...
#include <cstdio>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "common/program/launch.h"
#include "common/program/library_path.h"

namespace {

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> all;
  for (std::string& string : strings) all.push_back(string.data());
  all.push_back(nullptr);
  return all;
}

bool open_interpreter(const std::string& path, bool keep) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  return fd >= 0 &&
         ::dup3(fd, knee::program::Launch::kInterpreterDescriptor, keep ? 0 : O_CLOEXEC) >= 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7) return 2;
  const std::vector<std::string> words(argv, argv + argc);
  knee::program::Launch launch;
  launch.through_loader = words[2] == "loader";
  launch.executable = words[3];
  launch.interpreter = words[4];
  launch.library_folder = words[5];
  if (!launch.interpreter.empty() && !open_interpreter(launch.interpreter, words[1] == "keep"))
    return std::perror("start: interpreter"), 3;

  std::vector<std::string> environment;
  for (char** entry = environ; *entry; ++entry) environment.emplace_back(*entry);
  knee::program::add_library_path(environment, launch.library_folder);
  auto arguments = launch.arguments({words.begin() + 6, words.end()});
  ::execve(launch.command().c_str(), pointers(arguments).data(), pointers(environment).data());
  return std::perror("start: execve"), 4;
}
