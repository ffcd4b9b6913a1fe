#pragma once
#include <optional>
#include <string>

namespace knee::cli {

/// Lines of standard input. On a terminal they can be edited, and lines of earlier runs are there
/// with the arrow keys, if libedit is installed (it is not needed to build); else they are read as
/// they come. One per process.
class LineReader {
 public:
  /// `history`: the file in which lines are kept; empty: none.
  explicit LineReader(std::string history);
  ~LineReader();
  LineReader(const LineReader&) = delete;

  /// The next line without its end; none at the end of input, or if it was interrupted.
  std::optional<std::string> read(const std::string& prompt);
  /// Whether Ctrl-C was typed in place of the last line. Only where lines can be edited; elsewhere
  /// it is a signal.
  bool interrupted() const;

  /// $XDG_STATE_HOME/knee/NAME, else ~/.local/state/knee/NAME; empty if there is no home. Makes the
  /// folder.
  static std::string history_file(const std::string& name);

 private:
  /// As libedit has them, for programs that know readline.
  struct Editor {
    char* (*readline)(const char*) = nullptr;
    int (*add_history)(const char*) = nullptr;
    int (*read_history)(const char*) = nullptr;
    int (*write_history)(const char*) = nullptr;
    void (*stifle_history)(int) = nullptr;
    int (*initialize)() = nullptr;
    int (*add_command)(const char* name, int (*command)(int, int), int key) = nullptr;
    int* done = nullptr;  ///< a command that sets it ends the line
    bool is_there() const { return readline != nullptr; }
  };
  /// While this lives, the terminal leaves a key to whoever reads from it.
  class PlainKey {
   public:
    /// `key`: VINTR ...
    explicit PlainKey(int key);
    ~PlainKey();
    PlainKey(const PlainKey&) = delete;

   private:
    /// What it was before; none if there is no terminal.
    std::optional<unsigned char> set(unsigned char character) const;

    int key_;
    std::optional<unsigned char> before_;
  };

  static Editor find_editor();
  std::optional<std::string> edit(const std::string& prompt);

  Editor editor_;
  std::string history_;
  std::string last_;
  std::optional<PlainKey> end_key_;
};

}  // namespace knee::cli
