// A program that ships itself, driven by the tests. Commands, one after the other on its command
// line:
//   modules             what is loaded
//   offsets             where its functions are
//   replace OLD NEW     put NEW's content in OLD's place, as a linker does
//   truncate FILE       empty a file in its place
//   ship FILE           a file for `pack`
//   chdir FOLDER
//   unset VARIABLE
//   pack BLOBS TARGET   describe itself, copy the files to BLOBS, materialize them in TARGET
//   report              who it is
//   plugin NAME         dlopen
//   reexec COMMAND...   the rest in a new run of /proc/self/exe
//   run COMMAND         the shell
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <dlfcn.h>
#include <unistd.h>

#include "common/program/function_address.h"
#include "common/program/launch.h"
#include "common/program/library_path.h"
#include "common/program/loaded_module.h"
#include "common/program/program_file.h"
#include "twins.h"

extern "C" const char* SAMPLE_GREETING();

namespace {

namespace fs = std::filesystem;
using namespace knee::program;

const char* argv0;
std::vector<std::string> ship;

void print_modules() {
  static constexpr const char* kKinds[] = {"executable", "loader", "library"};
  for (const LoadedModule& module : loaded_modules())
    std::cout << "module " << kKinds[static_cast<int>(module.kind)] << " '" << module.name << "' "
              << (module.build_id.empty() ? "without id" : "with id") << '\n';
}

void print_offset(const char* what, const void* address) {
  const FunctionAddress place = locate(address);
  std::cout << "offset " << what << ' ' << (place.module.empty() ? "-" : place.module) << ' '
            << place.offset << (resolve(place) == address ? "" : " RESOLVES ELSEWHERE") << '\n';
}

void print_offsets() {
  const Twin a = twin_a();
  const Twin b = twin_b();
  print_offset("a.function", a.function);
  print_offset("a.lambda", a.lambda);
  print_offset("a.thunk", a.thunk);
  print_offset("b.function", b.function);
  print_offset("b.lambda", b.lambda);
  print_offset("b.thunk", b.thunk);
  print_offset("greeting", reinterpret_cast<const void*>(&SAMPLE_GREETING));
  print_offset("main's", reinterpret_cast<const void*>(&print_offsets));
}

void replace(const std::string& old_file, const std::string& new_file) {
  const std::string temporary = old_file + ".replacement";
  fs::copy_file(new_file, temporary, fs::copy_options::overwrite_existing);
  fs::rename(temporary, old_file);
}

void pack(const std::string& blobs, const std::string& target) {
  static constexpr const char* kRoles[] = {"executable", "loader", "library", "extra"};
  std::vector<ShippedFile> shipped;
  for (const ProgramFile& file : describe_program(ship)) {
    const std::string blob = blobs + "/" + file.digest.hex();
    fs::copy_file("/proc/self/fd/" + std::to_string(file.fd.get()), blob,
                  fs::copy_options::skip_existing);
    fs::permissions(blob, fs::perms(0644));
    if (fs::file_size(blob) != file.size) std::cout << "WRONG SIZE ";
    shipped.push_back({file.role, file.name, blob});
    std::cout << "file " << kRoles[static_cast<int>(file.role)] << ' ' << file.name << '\n';
  }
  const Launch launch = materialize(shipped, target);
  std::cout << "executable=" << launch.executable << "\ninterpreter=" << launch.interpreter
            << "\nlibraries=" << launch.library_folder << "\nargv0=" << launch.argv0
            << "\nthrough=" << (launch.through_loader ? "loader" : "direct") << '\n';
}

std::string first_line(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "(unset)";
}

void report() {
  std::cout << "exe=" << fs::read_symlink("/proc/self/exe").string()
            << "\ncomm=" << first_line("/proc/self/comm") << "\nargv0=" << argv0
            << "\ngreeting=" << SAMPLE_GREETING() << "\nuid=" << ::getuid()
            << "\nlibrary path=" << variable("LD_LIBRARY_PATH")
            << "\nmark=" << variable("KNEE_LD_LIBRARY_PATH_ORIGINAL") << '\n';
}

void use_plugin(const std::string& name) {
  void* plugin = ::dlopen(name.c_str(), RTLD_NOW);
  if (!plugin) throw std::runtime_error(::dlerror());
  const auto answer = reinterpret_cast<const char* (*)()>(::dlsym(plugin, "plugin_answer"));
  print_offset("plugin", reinterpret_cast<const void*>(answer));
  std::cout << answer() << '\n';
}

int run(char** word) {
  const auto next = [&word] { return std::string(*word ? *word++ : throw "missing word"); };
  while (*word) {
    const std::string command = next();
    std::cout.flush();
    if (command == "modules") print_modules();
    if (command == "offsets") print_offsets();
    if (command == "report") report();
    if (command == "ship") ship.push_back(next());
    if (command == "plugin") use_plugin(next());
    if (command == "chdir") fs::current_path(next());
    if (command == "unset") ::unsetenv(next().c_str());
    if (command == "truncate") fs::resize_file(next(), 0);
    if (command == "run" && std::system(next().c_str()) != 0) return 1;
    if (command == "replace") {
      const std::string old_file = next();
      replace(old_file, next());
    }
    if (command == "pack") {
      const std::string blobs = next();
      pack(blobs, next());
    }
    if (command == "reexec") {
      std::vector<char*> arguments{const_cast<char*>(argv0)};
      while (*word) arguments.push_back(*word++);
      arguments.push_back(nullptr);
      ::execv("/proc/self/exe", arguments.data());
      std::cout << "reexec: " << std::strerror(errno) << '\n';
      return 1;
    }
  }
  return 0;
}

}  // namespace

int main(int, char** argv) try {
  if (!std::getenv("SAMPLE_KEEPS_LIBRARY_PATH")) restore_library_path();
  argv0 = argv[0];
  return run(argv + 1);
} catch (const std::exception& error) {
  std::cout << "error: " << error.what() << std::endl;
  return 1;
}
