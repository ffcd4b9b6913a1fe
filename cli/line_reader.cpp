#include "cli/line_reader.h"

#include <dlfcn.h>
#include <termios.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <utility>

namespace knee::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLibrary = "libedit.so.2";
constexpr int kLinesKept = 1000;

template <class Pointer>
bool find(void* library, const char* name, Pointer& pointer) {
  pointer = reinterpret_cast<Pointer>(::dlsym(library, name));
  return pointer != nullptr;
}

/// What the command behind Ctrl-C knows: it is a plain function.
struct Interrupt {
  int* line_done = nullptr;
  bool typed = false;
};
Interrupt interrupt;

int interrupt_line(int, int) {
  interrupt.typed = true;
  *interrupt.line_done = 1;
  return 0;
}

}  // namespace

LineReader::PlainKey::PlainKey(int key) : key_(key), before_(set(_POSIX_VDISABLE)) {}

LineReader::PlainKey::~PlainKey() {
  if (before_) set(*before_);
}

std::optional<unsigned char> LineReader::PlainKey::set(unsigned char character) const {
  termios terminal{};
  if (::tcgetattr(STDIN_FILENO, &terminal) != 0) return std::nullopt;
  const auto before = std::exchange(terminal.c_cc[key_], character);
  ::tcsetattr(STDIN_FILENO, TCSADRAIN, &terminal);
  return before;
}

LineReader::Editor LineReader::find_editor() {
  Editor editor;
  if (::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0) return editor;
  void* library = ::dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);  // for the rest of the process
  if (library == nullptr) return editor;
  const bool all = find(library, "add_history", editor.add_history) &&
                   find(library, "read_history", editor.read_history) &&
                   find(library, "write_history", editor.write_history) &&
                   find(library, "stifle_history", editor.stifle_history) &&
                   find(library, "rl_initialize", editor.initialize) &&
                   find(library, "rl_add_defun", editor.add_command) &&
                   find(library, "rl_done", editor.done);
  if (all) find(library, "readline", editor.readline);
  return editor;
}

LineReader::LineReader(std::string history) : editor_(find_editor()), history_(std::move(history)) {
  if (!editor_.is_there()) return;
  // What is typed while something else runs is read by libedit later. It would get a zero in place
  // of Ctrl-D, which to it quotes the next key: no Ctrl-D would end anything any more.
  end_key_.emplace(VEOF);
  std::setlocale(LC_CTYPE, "");  // libedit drops letters that are none in the locale
  editor_.initialize();
  interrupt.line_done = editor_.done;
  constexpr int kCtrlC = 3;
  editor_.add_command("knee-interrupt-line", interrupt_line, kCtrlC);
  editor_.stifle_history(kLinesKept);
  if (!history_.empty()) editor_.read_history(history_.c_str());
}

LineReader::~LineReader() {
  if (editor_.is_there() && !history_.empty()) editor_.write_history(history_.c_str());
}

std::optional<std::string> LineReader::read(const std::string& prompt) {
  if (editor_.is_there()) return edit(prompt);
  std::cout << prompt << std::flush;
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  return line;
}

bool LineReader::interrupted() const {
  return interrupt.typed;
}

std::optional<std::string> LineReader::edit(const std::string& prompt) {
  interrupt.typed = false;
  const PlainKey interrupt_key(VINTR);
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
