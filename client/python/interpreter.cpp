#include "interpreter.h"

#include <dlfcn.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "client/python/python.h"
#include "client/python/python_object.h"
#include "client/python/remote_object.h"
#include "client/worker/object_host.h"

namespace knee::python {
namespace {

namespace fs = std::filesystem;

/// What is easier said in Python. Its frames are left out of tracebacks.
constexpr const char* kSession = R"py(
import importlib, linecache, sys, traceback

main = sys.modules["__main__"]
count = 0

def compiled(source, mode):
    # With a name of its own, under which tracebacks find its lines.
    global count
    count += 1
    name = "<session %d>" % count
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    linecache.cache.pop("<session %d>" % (count - 100), None)
    return compile(source, name, mode)

class Session:
    "How a driver uses this interpreter."
    def execute(self, source):
        exec(compiled(source, "exec"), main.__dict__)
    def eval(self, source):
        return eval(compiled(source.strip(), "eval"), main.__dict__)
    def module(self, name):
        return importlib.import_module(name)
    def __getitem__(self, name):
        return main.__dict__[name]
    def __setitem__(self, name, value):
        main.__dict__[name] = value

def describe(kind, value, trace):
    # Name, text and traceback of an exception.
    while trace is not None and trace.tb_frame.f_code.co_filename == "<knee>":
        trace = trace.tb_next
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__"):
        name = kind.__module__ + "." + name
    try:
        text = str(value)
    except Exception:
        text = "(its text cannot be had)"
    lines = traceback.format_exception(kind, value, trace) if trace is not None else []
    return name, text, "".join(lines).rstrip("\n")

def flush():
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass

for stream in (sys.stdout, sys.stderr):
    stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
)py";

/// The python3 whose modules are to be found: that of $VIRTUAL_ENV, or the one that the
/// library belongs to, whatever else is first in PATH. Empty: Python is to find out itself.
std::string python_program() {
  std::string name = "python" + std::to_string(PY_MAJOR_VERSION);
  if (const char* environment = std::getenv("VIRTUAL_ENV"); environment && *environment) {
    const auto program = fs::path(environment) / "bin" / name;
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(&Py_Main), &info) == 0) return {};
  std::error_code ignored;
  name += "." + std::to_string(PY_MINOR_VERSION);
  // PREFIX/lib/libpython3.11.so, or with a folder more, such as x86_64-linux-gnu.
  for (auto folder = fs::weakly_canonical(info.dli_fname, ignored).parent_path();
       folder.has_relative_path(); folder = folder.parent_path()) {
    const auto program = folder.parent_path() / "bin" / name;
    if (::access(program.c_str(), X_OK) == 0) return program;
  }
  return {};
}

void must(PyStatus status) {
  if (PyStatus_Exception(status))
    throw std::runtime_error(std::string("Python cannot start: ") +
                             (status.err_msg != nullptr ? status.err_msg : "it does not say why"));
}

void start_interpreter() {
  PyConfig config;
  PyConfig_InitPythonConfig(&config);
  const auto program = python_program();
  if (!program.empty())
    must(PyConfig_SetBytesString(&config, &config.program_name, program.c_str()));
  char empty[] = "";
  char* arguments[] = {empty};
  config.parse_argv = 0;
  must(PyConfig_SetBytesArgv(&config, 1, arguments));
  config.install_signal_handlers = 1;
  ::signal(SIGINT, SIG_DFL);  // what is ignored stays ignored
  must(Py_InitializeFromConfig(&config));
  PyConfig_Clear(&config);
}

void interrupt(int) {
  PyErr_SetInterrupt();
  worker::interrupt_waiting();
}

}  // namespace

detail::ObjectRef start_session() {
  start_interpreter();
  struct sigaction action {};
  action.sa_handler = interrupt;  // without SA_RESTART: what sleeps is to wake
  ::sigaction(SIGINT, &action, nullptr);
  define_remote_objects();
  auto helpers = py::module_::import("types").attr("ModuleType")("_knee_session");
  py::object scope = helpers.attr("__dict__");
  scope["__builtins__"] = py::module_::import("builtins");
  const auto builtins = py::module_::import("builtins");
  builtins.attr("exec")(builtins.attr("compile")(kSession, "<knee>", "exec"), scope);
  set_helpers(helpers.attr("describe"), helpers.attr("flush"));
  auto session = std::make_shared<PythonObject>(helpers.attr("Session")());
  // Kept for ever: the process ends without Python's knowing.
  helpers.inc_ref();
  PyEval_SaveThread();
  return session;
}

}  // namespace knee::python
