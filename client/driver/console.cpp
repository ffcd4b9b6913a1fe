#include "console.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

namespace knee::driver {
namespace {

/// What a piece takes beside its text, in bytes: there may be very many of one character.
constexpr std::size_t kOfOnePiece = 128;

/// False: nobody reads it any more.
bool write_all(int fd, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(fd, text.data() + done, text.size() - done);
    if (count >= 0) {
      done += static_cast<std::size_t>(count);
    } else if (errno == EAGAIN) {
      // Whoever shares the terminal or pipe has made it so that it does not block.
      pollfd writable{fd, POLLOUT, 0};
      ::poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      return errno != EPIPE;
    }
  }
  return true;
}

std::string with_prefix(const std::string& prefix, const std::string& lines) {
  std::string text;
  text.reserve(lines.size() + 64);
  for (std::size_t begin = 0; begin < lines.size();) {
    auto end = lines.find('\n', begin);
    end = end == lines.npos ? lines.size() : end;
    text += prefix;
    text.append(lines, begin, end - begin);
    text += '\n';
    begin = end + 1;
  }
  return text;
}

/// Of the terminal that stderr is. Asked anew each time: windows change.
std::size_t columns() {
  constexpr std::size_t kUnknown = 80;
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kUnknown;
  return size.ws_col;
}

}  // namespace

std::string cut_to_columns(const std::string& line, std::size_t columns) {
  std::size_t end = 0;
  for (; end < line.size(); ++end) {
    const bool continues = (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80;
    if (continues) continue;
    if (columns == 0) break;
    --columns;
  }
  return line.substr(0, end);
}

Console::~Console() {
  status("");
  writer_.join();
}

template <class Write>
void Console::post(std::size_t bytes, Write write) {
  bytes += kOfOnePiece;
  waiting_ += bytes;
  boost::asio::post(writer_, [this, bytes, write = std::move(write)] {
    write();
    written(bytes);
  });
}

void Console::print(bool error, std::string prefix, std::string lines) {
  const auto bytes = prefix.size() + lines.size();
  post(bytes, [this, error, prefix = std::move(prefix), lines = std::move(lines)] {
    write(error, with_prefix(prefix, lines));
  });
}

void Console::pass(bool error, std::string bytes) {
  const auto size = bytes.size();
  post(size, [this, error, bytes = std::move(bytes)] { write(error, bytes); });
}

void Console::when_relieved(std::function<void()> relieved) {
  const std::lock_guard lock(mutex_);
  // What is written from now on is counted before `written` looks for these.
  if (waiting_ > kMostWaiting / 2)
    reliefs_.push_back(std::move(relieved));
  else
    boost::asio::post(writer_, std::move(relieved));
}

void Console::written(std::size_t bytes) {
  waiting_ -= bytes;
  std::vector<std::function<void()>> reliefs;
  {
    const std::lock_guard lock(mutex_);
    if (waiting_ <= kMostWaiting / 2) reliefs.swap(reliefs_);
  }
  for (const auto& relieved : reliefs) relieved();
}

void Console::status(std::string line) {
  boost::asio::post(writer_, [this, line = std::move(line)] {
    if (line != status_) draw(line);
  });
}

void Console::write(bool error, const std::string& text) {
  const int fd = error ? STDERR_FILENO : STDOUT_FILENO;
  if (status_.empty() || ::isatty(fd) == 0) {
    reader_gone_[error].store(!write_all(fd, text), std::memory_order_relaxed);
    return;
  }
  const std::string status = status_;
  draw("");
  write_all(fd, text);
  // Behind an unfinished line it would be taken for a part of that.
  if (text.ends_with('\n')) draw(status);
}

void Console::draw(const std::string& status) {
  // The last column stays free: some terminals wrap as soon as it is written.
  write_all(STDERR_FILENO, "\r\033[K" + cut_to_columns(status, columns() - 1));
  status_ = status;
}

void Console::say(std::string line) {
  print(true, "knee: ", std::move(line));
}

}  // namespace knee::driver
