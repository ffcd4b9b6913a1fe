// From the start of knee-slave and of a driver to the driver's first result; and the memory of an
// idle knee-slave, before its first driver and after it.
//   start KNEE_SLAVE DRIVER FOLDER   the store in FOLDER is cold the first time

#include <fcntl.h>
#include <signal.h>

#include <filesystem>

#include "bench/harness.h"
#include "bench/sockets.h"

namespace {

using namespace knee::bench;

pid_t start(std::vector<std::string> words, int output) {
  const pid_t child = checked(::fork(), "fork");
  if (child != 0) return child;
  if (output >= 0) ::dup2(output, 1);
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

void stop(pid_t process) {
  ::kill(process, SIGTERM);
  ::waitpid(process, nullptr, 0);
}

double first_result(const std::string& slave, const std::string& driver,
                    const std::string& folder) {
  const std::string socket = "unix:" + folder + "/slave.sock";
  int result[2];
  checked(::pipe2(result, O_CLOEXEC), "pipe");
  const auto began = Clock::now();
  const pid_t slave_process =
      start({slave, "--listen", socket, "--store", folder + "/store", "--slots", "2"}, -1);
  const pid_t driver_process = start({driver, "--knee-slaves", socket}, result[1]);
  ::close(result[1]);
  char byte = 0;
  const bool came = ::read(result[0], &byte, 1) == 1;
  const double seconds = seconds_since(began);
  ::close(result[0]);
  ::waitpid(driver_process, nullptr, 0);
  stop(slave_process);
  if (!came) throw std::runtime_error("the driver ended without a result");
  return seconds;
}

/// Resident bytes of a slave that has nothing to do.
struct IdleMemory {
  double fresh;
  double served;  // a driver has used it and is gone
};

IdleMemory idle_memory(const std::string& slave, const std::string& driver,
                       const std::string& folder) {
  const std::string socket = folder + "/idle.sock";
  const pid_t process =
      start({slave, "--listen", "unix:" + socket, "--store", folder + "/idle-store"}, -1);
  for (int i = 0; i < 500 && !std::filesystem::exists(socket); ++i) ::usleep(10'000);
  ::usleep(300'000);  // it has come to rest
  const double fresh = memory_of(std::to_string(process), "VmRSS");
  const int nowhere = checked(::open("/dev/null", O_WRONLY | O_CLOEXEC), "open /dev/null");
  int status = 0;
  ::waitpid(start({driver, "--knee-slaves", "unix:" + socket}, nowhere), &status, 0);
  ::close(nowhere);
  ::usleep(6'000'000);  // longer than it keeps what its driver has left behind
  const double served = memory_of(std::to_string(process), "VmRSS");
  stop(process);
  if (status != 0) throw std::runtime_error("the driver of the idle slave failed");
  return {fresh, served};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) throw std::invalid_argument("usage: start KNEE_SLAVE DRIVER FOLDER");
  const std::string slave = argv[1];
  const std::string driver = argv[2];
  const std::string folder = argv[3];
  ::setenv("XDG_CACHE_HOME", (folder + "/cache").c_str(), 1);  // where drivers remember digests
  Report report;
  report.add("cold_s", first_result(slave, driver, folder));
  report.add("warm_s", first_result(slave, driver, folder));
  const IdleMemory idle = idle_memory(slave, driver, folder);
  report.add("idle_mb", idle.fresh / 1e6);
  report.add("idle_served_mb", idle.served / 1e6);
  report.print();
}
