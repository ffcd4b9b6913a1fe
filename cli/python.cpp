#include <knee/cluster.h>
#include <unistd.h>

#include <charconv>
#include <iostream>
#include <iterator>
#include <string>

#include "cli/line_reader.h"
#include "cli/tool.h"
#include "cli/verbs.h"

namespace knee::cli {
namespace {

/// What reads what is typed, on the slave: Python's own prompt, but for its input. What is printed
/// on the main thread comes here before the next line is asked for.
constexpr const char* kPrompt = R"py(
import code, sys, threading

class Stream:
    encoding = "utf-8"
    def __init__(self, write, behind):
        self.write_to, self.behind = write, behind
    def write(self, text):
        if threading.current_thread() is threading.main_thread():
            self.write_to(str(text))
        else:
            self.behind.write(text)
        return len(text)
    def flush(self):
        self.behind.flush()
    def isatty(self):
        return False

class Prompt(code.InteractiveInterpreter):
    def __init__(self, out, err):
        super().__init__(sys.modules["__main__"].__dict__)
        sys.stdout = Stream(out, sys.stdout)
        sys.stderr = Stream(err, sys.stderr)
    def version(self):
        return "Python %s on %s" % (sys.version.replace("\n", ""), sys.platform)
    def push(self, source):
        "Whether more lines are wanted."
        return self.runsource(source, "<stdin>")
)py";

/// Makes it, in a module of its own. From now on what is printed there comes here.
Object start_prompt(const Python& python) {
  python.execute("import types\n_knee = types.ModuleType('_knee')\ndel types\n");
  python.builtins("exec")(kPrompt, python["_knee"].attr("__dict__")).wait();
  const auto to = [](std::ostream& stream) {
    return callback([&stream](const std::string& text) { stream << text << std::flush; });
  };
  auto prompt = python["_knee"].call("Prompt", to(std::cout), to(std::cerr));
  python.execute("del _knee");
  return prompt;
}

int exit_code(const Error& error) {
  const auto& text = error.exception_text();
  if (text.empty() || text == "None") return 0;
  int code = 1;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), code);
  if (read.ec == std::errc() && read.ptr == text.data() + text.size()) return code;
  std::cerr << text << '\n';
  return 1;
}

/// `exit()` there; anything else is thrown on.
int ended_by(const Error& error) {
  if (error.exception_type() != "SystemExit") throw error;
  return exit_code(error);
}

int run_prompt(const Python& python) {
  const auto prompt = start_prompt(python);
  std::cout << prompt.call("version").get<std::string>() << '\n';
  LineReader lines(LineReader::history_file("python_history"));
  const InterruptOnSigint interrupt(python);
  std::string source;
  for (;;) {
    const auto line = lines.read(source.empty() ? ">>> " : "... ");
    if (!line && lines.interrupted()) {
      std::cerr << "\nKeyboardInterrupt\n";
      source.clear();
      continue;
    }
    if (!line) break;
    source += (source.empty() ? "" : "\n") + *line;
    try {
      if (prompt.call("push", source).get<bool>()) continue;
    } catch (const Error& error) {
      if (error.exception_type() != "KeyboardInterrupt") return ended_by(error);
      std::cerr << "KeyboardInterrupt\n";
    }
    source.clear();
  }
  std::cout << '\n';
  return 0;
}

/// As `python3 < file`.
int run_script(const Python& python) {
  const std::string script{std::istreambuf_iterator<char>(std::cin), {}};
  const auto prompt = start_prompt(python);
  const InterruptOnSigint interrupt(python);
  try {
    python.execute(script);
  } catch (const Error& error) {
    if (error.kind() != Error::Kind::exception) throw;
    if (error.exception_type() == "SystemExit") return exit_code(error);
    std::cerr << error.traceback() << '\n';
    return 1;
  }
  return 0;
}

int run_python(ClusterOptions options, const std::string& slave) {
  // Without a list of slaves the name is an address.
  if (options.slaves.empty() && options.listen.empty() && !options.local && slave != "local")
    options.slaves = {slave};
  options.commands_only = true;
  Cluster cluster(std::move(options));
  const Python python = cluster.slave(slave).python();
  return ::isatty(STDIN_FILENO) == 1 ? run_prompt(python) : run_script(python);
}

}  // namespace

Verb add_python(CLI::App& app, const Words&) {
  auto* verb = app.add_subcommand("python", "A Python prompt on a slave.");
  verb->footer(
      "It is that machine's Python, with its modules, in a process of its own. Ctrl-C interrupts "
      "what "
      "runs there, Ctrl-D or exit() ends it. If standard input is no terminal, it is a script.\n\n"
      "Example:\n  knee python gandalf");
  const auto slave = std::make_shared<std::string>("local");
  verb->add_option("SLAVE", *slave, "By name or address. Default: this machine.");
  const SlaveOptions slaves(*verb);
  return {verb, [slaves, slave] { return run_python(slaves.cluster(), *slave); }};
}

}  // namespace knee::cli
