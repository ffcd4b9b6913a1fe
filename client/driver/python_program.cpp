#include "python_program.h"

#include <knee/error.h>

#include <cstdlib>

#include "client/driver/failure.h"
#include "client/driver/program_places.h"

namespace knee::driver {
namespace {

/// What the loader says of a library that is not there comes before it.
constexpr std::string_view kLoaderSays = "error while loading shared libraries: ";
constexpr std::string_view kPython = "libpython";

/// The library that the loader has missed; empty: it ended otherwise.
std::string missing_library(std::string_view said) {
  const auto found = said.find(kLoaderSays);
  if (found == said.npos) return {};
  const auto rest = said.substr(found + kLoaderSays.size());
  return std::string(rest.substr(0, rest.find_first_of(":\n")));
}

/// "libpython3.11" of "libpython3.11.so.1.0": Debian's package has that name.
std::string package_of(const std::string& library) {
  return library.substr(0, library.find(".so"));
}

proto::Death::Reader death_of(proto::Outcome::Reader outcome) {
  if (outcome.isExited()) return outcome.getExited();
  if (outcome.isCrashed()) return outcome.getCrashed();
  return {};
}

}  // namespace

std::string find_knee_python() {
  const bool named = std::getenv("KNEE_PYTHON") != nullptr;
#ifdef KNEE_PYTHON_INSTALLED
  const bool built = true;
  const ProgramPlaces places{"knee-python", "KNEE_PYTHON", KNEE_PYTHON_FROM_LIBRARY,
                             KNEE_PYTHON_INSTALLED,
#ifdef KNEE_PYTHON_BUILT
                             KNEE_PYTHON_BUILT
#else
                             nullptr
#endif
  };
#else
  const bool built = false;
  const ProgramPlaces places{"knee-python", "KNEE_PYTHON", "", "", nullptr};
#endif
  if (!built && !named)
    throw Error(Error::Kind::setup,
                "this build of Knee has no Python sessions: build it with -DKNEE_PYTHON=ON, which "
                "needs the development files of Python 3 and pybind11 (Debian: python3-dev "
                "pybind11-dev)");
  std::string looked;
  auto found = find_program(places, looked);
  if (!found.empty()) return found;
  throw Error(
      Error::Kind::setup,
      "cannot find knee-python, which Python sessions run: install Knee, or set KNEE_PYTHON "
      "to its path. Looked for:" +
          looked);
}

std::exception_ptr python_end_error(const detail::TaskState& task, proto::Outcome::Reader outcome,
                                    const std::string& slave) {
  const auto library = missing_library(death_of(outcome).getStderrTail().cStr());
  if (library.empty()) return error_of(task, outcome, slave, {});
  std::string text =
      "there is no Python session on slave " + slave + ": " + library + " is missing there";
  if (library.starts_with(kPython)) {
    const auto package = package_of(library);
    text +=
        ". It has no Python, or another version of it than this Knee was built for; there, "
        "install " +
        package + " (Debian: apt install " + package + ")";
  }
  return std::make_exception_ptr(
      Error(Error::Kind::setup, text, {slave, "start of a Python session", 1}));
}

}  // namespace knee::driver
