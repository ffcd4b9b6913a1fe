#include "sample.h"

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sample {
namespace {

namespace fs = std::filesystem;

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> all;
  for (std::string& string : strings) all.push_back(string.data());
  all.push_back(nullptr);
  return all;
}

[[noreturn]] void become(std::vector<std::string> command, std::vector<std::string> environment,
                         int output) {
  ::dup2(output, 1);
  ::dup2(output, 2);
  for (std::string& entry : environment) ::putenv(entry.data());
  ::execvp(command[0].c_str(), pointers(command).data());
  ::_exit(127);
}

std::string read_all(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = ::read(fd, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(count));
  return text;
}

// A path inside `root` as those see it for whom it is the root.
std::string without(const std::string& root, const std::string& path) {
  return path.starts_with(root) ? path.substr(root.size()) : path;
}

}  // namespace

Folder::Folder() : path_((fs::temp_directory_path() / "knee-test-XXXXXX").string()) {
  if (!::mkdtemp(path_.data())) throw std::runtime_error("no temporary folder");
}

Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string Run::value(const std::string& key) const {
  const auto found = lines(key + "=");
  return found.empty() ? "(missing)" : found[0].substr(key.size() + 1);
}

std::vector<std::string> Run::lines(const std::string& start) const {
  std::vector<std::string> found;
  std::istringstream text(output);
  for (std::string line; std::getline(text, line);)
    if (line.starts_with(start)) found.push_back(line);
  return found;
}

Run run(const std::vector<std::string>& command, const std::vector<std::string>& environment) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  const pid_t child = ::fork();
  if (child == 0) become(command, environment, ends[1]);
  ::close(ends[1]);
  Run result;
  result.output = read_all(ends[0]);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  return result;
}

std::string file(const std::string& name) {
  return std::string(SAMPLES) + "/" + name;
}

Run driver(const std::string& name, const std::vector<std::string>& commands,
           const std::vector<std::string>& environment) {
  std::vector<std::string> command{file(name)};
  command.insert(command.end(), commands.begin(), commands.end());
  std::vector<std::string> variables{"LD_LIBRARY_PATH=" + file("libraries"),
                                     "XDG_CACHE_HOME=/nonexistent/cache"};
  variables.insert(variables.end(), environment.begin(), environment.end());
  return run(command, variables);
}

std::vector<std::string> dynamic_drivers() {
  std::vector<std::string> names{"sample_pie", "sample_no_pie", "sample_stripped",
                                 "sample_lto", "sample_asan",   "sample_no_id"};
  for (const char* name : {"sample_gold_icf", "sample_lld"})
    if (fs::exists(file(name))) names.emplace_back(name);
  return names;
}

std::vector<std::string> static_drivers() {
  return {"sample_static", "sample_static_pie"};
}

Packed pack(const std::string& name, const Folder& folder, const std::vector<std::string>& before) {
  fs::create_directory(folder / "blobs");
  std::vector<std::string> commands = before;
  commands.insert(commands.end(), {"pack", folder / "blobs", folder / "program"});
  return {driver(name, commands)};
}

std::vector<std::string> Packed::command(const std::vector<std::string>& commands,
                                         const std::string& descriptor,
                                         const std::string& root) const {
  const auto path = [&](const char* key) { return without(root, run.value(key)); };
  std::vector<std::string> all{descriptor,          run.value("through"), path("executable"),
                               path("interpreter"), path("libraries"),    "given-argv0"};
  all.insert(all.end(), commands.begin(), commands.end());
  return all;
}

Run Packed::start(const std::vector<std::string>& commands,
                  const std::vector<std::string>& environment,
                  const std::string& descriptor) const {
  auto all = command(commands, descriptor, "");
  all.insert(all.begin(), file("sample_start"));
  return sample::run(all, environment);
}

}  // namespace sample
