#include "cli/line_reader.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>

namespace knee::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "libedit.so.2";
constexpr int kLinesKept = 1000;

template <class Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
}

}  // namespace

LineReader::Editor LineReader::find_editor() {
  Editor editor;
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0) return editor;
  void* library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);  // for the rest of the process
  if (library == nullptr) return editor;
  find(library, "add_history", editor.add_history);
  find(library, "read_history", editor.read_history);
  find(library, "write_history", editor.write_history);
  find(library, "stifle_history", editor.stifle_history);
  const bool all = editor.add_history != nullptr && editor.read_history != nullptr &&
                   editor.write_history != nullptr && editor.stifle_history != nullptr;
  if (all) find(library, "readline", editor.readline);
  return editor;
}

LineReader::LineReader(std::string history) : editor_(find_editor()), history_(std::move(history)) {
  if (!editor_.is_there()) return;
  editor_.stifle_history(kLinesKept);
  if (!history_.empty()) editor_.read_history(history_.c_str());
}

LineReader::~LineReader() {
  if (editor_.is_there() && !history_.empty()) editor_.write_history(history_.c_str());
}

std::optional<std::string> LineReader::read(const std::string& prompt) {
  if (!editor_.is_there()) {
    std::cout << prompt << std::flush;
    std::string line;
    if (!std::getline(std::cin, line)) return std::nullopt;
    return line;
  }
  char* typed = editor_.readline(prompt.c_str());
  if (typed == nullptr) return std::nullopt;
  std::string line(typed);
  std::free(typed);
  if (!line.empty() && line != last_) editor_.add_history(line.c_str());
  last_ = line;
  return line;
}

std::string LineReader::history_file(const std::string& name) {
  fs::path folder;
  if (const char* state = std::getenv("XDG_STATE_HOME"); state && *state)
    folder = state;
  else if (const char* home = std::getenv("HOME"); home && *home)
    folder = fs::path(home) / ".local" / "state";
  else
    return {};
  folder /= "knee";
  std::error_code ignored;
  fs::create_directories(folder, ignored);
  return folder / name;
}

}  // namespace knee::cli
