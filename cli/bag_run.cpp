#include "cli/bag_run.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <thread>

#include "cli/outputs.h"

namespace knee::cli {
namespace {

/// Jobs handed to the cluster at once. More would only cost memory.
constexpr std::size_t kWindow = 1024;

double now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

/// False: nobody reads it any more.
bool write_all(int fd, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const auto written = ::write(fd, text.data() + done, text.size() - done);
    if (written < 0 && errno != EINTR) return errno != EPIPE;
    if (written > 0) done += static_cast<std::size_t>(written);
  }
  return true;
}

std::uint64_t size_of(const std::string& path) {
  std::error_code not_a_file;
  const auto size = std::filesystem::file_size(path, not_a_file);
  return not_a_file ? 0 : size;
}

}  // namespace

BagRun::BagRun(Cluster& cluster, BagSettings settings)
    : cluster_(cluster),
      settings_(std::move(settings)),
      template_(settings_.line.empty() ? CommandTemplate("{}", false)
                                       : CommandTemplate(settings_.line)),
      log_(settings_.job_log),
      on_terminal_(::isatty(STDERR_FILENO) != 0),
      bag_(cluster.bag({.name = "bag"})) {
  if (!settings_.line.empty()) template_.want_argument();
}

int BagRun::run(Arguments arguments) {
  // Arguments may be long in coming, and there may be no room for more: this thread waits for the
  // bag meanwhile, which is what shows progress.
  std::exception_ptr fed_up;
  std::thread feeder([&] {
    try {
      feed(arguments);
    } catch (...) {
      fed_up = std::current_exception();
      bag_.cancel();
    }
    const std::lock_guard lock(mutex_);
    fed_ = true;
    changed_.notify_all();
  });
  std::exception_ptr failure;  // out of a callback
  const auto wait = [&] {
    try {
      bag_.wait();
    } catch (...) {
      if (!failure) failure = std::current_exception();
    }
  };
  while (wait_for_jobs()) wait();
  feeder.join();
  wait();
  if (fed_up) std::rethrow_exception(fed_up);
  if (failure) std::rethrow_exception(failure);
  return exit_code();
}

void BagRun::feed(Arguments& arguments) {
  std::uint64_t number = 0;
  while (wait_for_room()) {
    const auto next = arguments.next();
    if (!next) break;
    start(++number, *next);
  }
  if (stops_now()) bag_.cancel();  // one may have been started while it was cancelled
}

bool BagRun::wait_for_jobs() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return running_ != 0 || fed_; });
  return running_ != 0;
}

bool BagRun::stops_now() {
  const std::lock_guard lock(mutex_);
  return reader_gone_ || (halted_ && settings_.halt.how() == HaltPolicy::How::now);
}

bool BagRun::wait_for_room() {
  const auto most = most_at_once();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return running_ < most || halted_ || reader_gone_; });
  return !halted_ && !reader_gone_;
}

std::size_t BagRun::most_at_once() const {
  if (settings_.jobs != 0) return settings_.jobs;
  if (settings_.halt.how() != HaltPolicy::How::soon) return kWindow;
  // What was handed over runs to its end, so it must not be more than what can run.
  return std::max<std::size_t>(cluster_.slots(), 1);
}

void BagRun::start(std::uint64_t number, const std::vector<std::string>& arguments) {
  Job job{number, template_.expand(arguments, number)};
  Command command;
  command.arguments = {"sh", "-c", job.line};
  command.environment = settings_.environment;
  command.environment.push_back("PARALLEL_SEQ=" + std::to_string(number));
  for (const auto& input : settings_.inputs) {
    const std::string path = CommandTemplate(input, false).expand(arguments, number);
    // There under the name by which the command line speaks of it, if that can be.
    const std::filesystem::path name = std::filesystem::path(path).lexically_normal();
    const bool inside = name.is_relative() && *name.begin() != "..";
    command.inputs.push_back({path, inside ? name.string() : std::string()});
    job.sent += size_of(path);
  }
  for (const auto& output : settings_.outputs)
    command.outputs.push_back(CommandTemplate(output, false).expand(arguments, number));
  TaskOptions options;
  options.attempts = settings_.attempts;
  options.name = job.line;
  if (settings_.timeout > 0)
    options.timeout = std::chrono::nanoseconds(static_cast<std::int64_t>(settings_.timeout * 1e9));
  job.start = now();
  {
    const std::lock_guard lock(mutex_);
    ++running_;
    changed_.notify_all();
  }
  try {
    bag_.run(std::move(command), options)
        .then([this, job](CommandResult result) { ended(job, result); },
              [this, job](const Error& error) { failed(job, error); });
  } catch (const Error& error) {
    failed(job, error);  // an input that is not there
  }
}

void BagRun::ended(const Job& job, const CommandResult& result) {
  std::uint64_t received = result.out.size() + result.err.size();
  for (const auto& file : result.files) received += file.content.size();
  const double run_time = std::chrono::duration<double>(result.run_time).count();
  std::string err = result.err;
  if (result.cut)
    err +=
        "knee: job " + std::to_string(job.number) + " printed more than 16 MiB: the rest is lost\n";
  int exit_code = result.exit_code;
  try {
    save_outputs(result);
  } catch (const std::exception& error) {
    err += "knee: job " + std::to_string(job.number) + ": " + error.what() + "\n";
    exit_code = std::max(exit_code, 1);
  }
  log_.add({job.number, result.slave, now() - run_time, run_time, job.sent, received,
            result.signal != 0 ? 0 : exit_code, result.signal, job.line});
  show(job.number, result.out, std::move(err));
  count(job.number, exit_code);
}

void BagRun::failed(const Job& job, const Error& error) {
  if (error.kind() == Error::Kind::cancelled) {
    // A halt; neither done nor failed. What comes after it in order has its turn.
    show(job.number, "", "");
    const std::lock_guard lock(mutex_);
    --running_;
    changed_.notify_all();
    return;
  }
  log_.add({job.number, error.slave().empty() ? ":" : error.slave(), job.start, now() - job.start,
            job.sent, 0, -1, 0, job.line});
  show(job.number, "",
       std::string("knee: job ") + std::to_string(job.number) + ": " + error.what() + "\n");
  count(job.number, 255);
}

void BagRun::count(std::uint64_t, int exit_code) {
  {
    const std::lock_guard lock(mutex_);
    --running_;
    ++(exit_code == 0 ? succeeded_ : failed_);
    if (!halted_ && settings_.halt.reached(succeeded_, failed_)) halted_ = exit_code;
  }
  changed_.notify_all();
  if (stops_now()) bag_.cancel();
}

void BagRun::show(std::uint64_t number, std::string out, std::string err) {
  if (!settings_.keep_order) return print(out, err);
  const std::lock_guard lock(mutex_);
  held_[number] = {std::move(out), std::move(err)};
  for (auto first = held_.begin(); first != held_.end() && first->first == shown_ + 1;
       first = held_.erase(first), ++shown_) {
    print(first->second.out, first->second.err);
  }
}

void BagRun::print(const std::string& out, const std::string& err) {
  if (!print_to(STDOUT_FILENO, out)) reader_gone_ = true;
  print_to(STDERR_FILENO, err);
}

bool BagRun::print_to(int fd, const std::string& text) {
  if (text.empty()) return true;
  // Or it would come behind the progress line.
  const std::string wipe = on_terminal_ && whole_lines_ ? "\r\033[K" : "";
  if (::isatty(fd) != 0) whole_lines_ = text.ends_with('\n');
  if (fd == STDERR_FILENO) return write_all(fd, wipe + text);
  write_all(STDERR_FILENO, wipe);
  return write_all(fd, text);
}

int BagRun::exit_code() const {
  if (reader_gone_) return 128 + SIGPIPE;
  if (halted_) return *halted_;
  return static_cast<int>(std::min<std::uint64_t>(failed_, 101));
}

}  // namespace knee::cli
