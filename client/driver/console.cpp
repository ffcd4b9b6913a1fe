#include "console.h"

#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>

namespace knee::driver {
namespace {

void write_all(int fd, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = ::write(fd, text.data() + done, text.size() - done);
    if (count < 0 && errno != EINTR) return;  // nobody reads it
    if (count > 0) done += static_cast<std::size_t>(count);
  }
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

}  // namespace

Console::~Console() {
  writer_.join();
}

void Console::print(bool error, std::string prefix, std::string lines) {
  boost::asio::post(writer_, [error, prefix = std::move(prefix), lines = std::move(lines)] {
    write_all(error ? STDERR_FILENO : STDOUT_FILENO, with_prefix(prefix, lines));
  });
}

void Console::pass(bool error, std::string bytes) {
  boost::asio::post(writer_, [error, bytes = std::move(bytes)] {
    write_all(error ? STDERR_FILENO : STDOUT_FILENO, bytes);
  });
}

void Console::say(std::string line) {
  print(true, "knee: ", std::move(line));
}

}  // namespace knee::driver
