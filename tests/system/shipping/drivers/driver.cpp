// driver PART [ARGUMENT...]: does one thing and prints what came of it.
#include <dlfcn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <thread>

#include "twins.h"
#ifdef WITH_LIBRARY
#include "own_library.h"
#endif

namespace {

namespace fs = std::filesystem;

std::string output_of(const std::string& command) {
  std::string output;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return "cannot run " + command;
  std::array<char, 4096> piece{};
  while (const auto size = std::fread(piece.data(), 1, piece.size(), pipe))
    output.append(piece.data(), size);
  ::pclose(pipe);
  return output;
}

std::string file_content(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/// How a worker looks from inside and from outside.
std::string look_at_yourself() {
  std::error_code ignored;
  const auto comm = file_content("/proc/self/comm");
  const char* library_path = std::getenv("LD_LIBRARY_PATH");
  return "exe=" + fs::read_symlink("/proc/self/exe", ignored).filename().string() +
         "\ncomm=" + comm.substr(0, comm.find('\n')) +
         "\nargv0=" + std::string(file_content("/proc/self/cmdline").c_str()) +
         "\nlibrary_path=" + (library_path == nullptr ? "(unset)" : library_path) + "\n";
}

std::string start_yourself_again() {
  const auto pid = ::fork();
  if (pid == 0) {
    const char* const words[] = {"again", "say-hello", nullptr};
    ::execv("/proc/self/exe", const_cast<char* const*>(words));
    std::perror("execv");
    ::_exit(1);
  }
  ::waitpid(pid, nullptr, 0);
  return "ended";
}

[[gnu::noinline]] std::string attach_a_debugger() {
  ::prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);  // where the kernel asks for it
  return output_of("gdb -nx -batch -p " + std::to_string(::getpid()) + " -ex bt");
}

std::string run_command(const std::string& command) {
  return output_of(command);
}

void use_an_instruction_that_is_none() {
  __builtin_trap();
}

std::string load_plugin(const std::string& name) {
  return ::dlopen(name.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr ? ::dlerror() : "loaded";
}

std::string call_plugin(knee::Cluster& cluster, const std::string& name) {
  void* plugin = ::dlopen(name.c_str(), RTLD_NOW);
  void* symbol = plugin == nullptr ? nullptr : ::dlsym(plugin, "call_plugin");
  if (symbol == nullptr) throw std::runtime_error(::dlerror());
  const auto call = reinterpret_cast<void (*)(knee::Cluster&, std::string&)>(symbol);
  std::string result;
  call(cluster, result);
  return result;
}

std::string twins(knee::Cluster& cluster) {
  return call_twin_a(cluster) + " | " + call_twin_b(cluster);
}

/// Until somebody has made the file.
void wait_for(const std::string& file) {
  while (!fs::exists(file)) std::this_thread::sleep_for(std::chrono::milliseconds(2));
}

std::string play(knee::Cluster& cluster, const std::string& part,
                 const std::vector<std::string>& words) {
  if (part == "twins" || part == "wait") return twins(cluster);
  if (part == "look") return cluster.call<look_at_yourself>().get();
  if (part == "again") {
    auto bag = cluster.bag();
    (void)bag.call<start_yourself_again>();
    bag.wait();
    return twins(cluster);
  }
  if (part == "folded")
    return same_code_of_twin_a() == same_code_of_twin_b() ? "one function" : "two functions";
  if (part == "twin-failures")
    return failure_of_twin_a(cluster) + "\n" + failure_of_twin_b(cluster);
  if (part == "debugger") return cluster.call<attach_a_debugger>().get();
  if (part == "command") return cluster.call<run_command>(words.at(0)).get();
  if (part == "sigill") {
    auto bag = cluster.bag({.attempts = 1});
    (void)bag.call<use_an_instruction_that_is_none>();
    bag.wait();
  }
  if (part == "plugin" || part == "preloaded-plugin") {
    twins(cluster);  // the program has been shipped
    return call_plugin(cluster, words.at(0));
  }
  if (part == "plugin-in-task") {
    const std::string loaded = cluster.call<load_plugin>(words.at(0)).get();
    return loaded + " " + call_plugin(cluster, words.at(0));
  }
#ifdef WITH_LIBRARY
  if (part == "library" || part == "wait-library") return call_library(cluster);
  if (part == "replaced-library") {
    // When the program has been shipped, and before a worker starts, the file at the rpath that
    // this process was started with becomes another.
    while (cluster.slots() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    fs::copy_file(words.at(0), words.at(1) + ".new", fs::copy_options::overwrite_existing);
    fs::rename(words.at(1) + ".new", words.at(1));
    return call_library(cluster);
  }
#endif
  return "no such part: " + part;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string part = argc > 1 ? argv[1] : "";
  if (part == "say-hello") {
    std::puts("hello from the same program");
    return 0;
  }
  // In workers, too.
  if (part == "preloaded-plugin") ::dlopen(argv[2], RTLD_NOW);
  knee::serve_if_worker();
  if (part == "wait" || part == "wait-library") {
    std::cout << "waiting" << std::endl;
    wait_for(argv[2]);
  }
  try {
    if (part == "shipped-in-code") {
      // A plugin by its name, and the file that is shipped for it.
      knee::ClusterOptions options;
      options.ship = {argv[3]};
      options.slots = 1;
      options.progress = false;
      options.arguments = {argv[0]};
      knee::Cluster cluster(options);
      std::cout << play(cluster, "plugin-in-task", {argv[2]}) << std::endl;
      return 0;
    }
    knee::Cluster cluster(argc, argv);
    std::cout << play(cluster, part, {argv + std::min(argc, 2), argv + argc}) << std::endl;
  } catch (const std::exception& error) {
    std::cout << "failed: " << error.what() << std::endl;
    return 1;
  }
}
