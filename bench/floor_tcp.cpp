// Floor: what the kernel's loopback TCP does between two processes with read and write alone.

#include <vector>

#include "bench/harness.h"
#include "bench/sockets.h"

namespace {

using namespace knee::bench;

constexpr std::size_t kPing = 64;
constexpr std::size_t kChunk = 512 * 1024;
constexpr int kRounds = 20'000;
constexpr std::size_t kStream = std::size_t{2} * 1024 * 1024 * 1024;

bool read_all(int socket, char* bytes, std::size_t size) {
  for (std::size_t done = 0; done < size;) {
    const auto got = ::read(socket, bytes + done, size - done);
    if (got <= 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

void write_all(int socket, const char* bytes, std::size_t size) {
  for (std::size_t done = 0; done < size;)
    done += static_cast<std::size_t>(
        checked(static_cast<int>(::write(socket, bytes + done, size - done)), "write"));
}

void echo(int socket) {
  char bytes[kPing];
  while (read_all(socket, bytes, kPing)) write_all(socket, bytes, kPing);
}

void swallow(int socket) {
  std::vector<char> chunk(kChunk);
  for (std::size_t done = 0; done < kStream; done += kChunk)
    if (!read_all(socket, chunk.data(), kChunk)) return;
  write_all(socket, chunk.data(), 1);
}

double ping_pong_us() {
  double seconds = 0;
  with_two_processes(true, echo, [&](int socket) {
    char bytes[kPing] = {};
    const auto once = [&] {
      write_all(socket, bytes, kPing);
      read_all(socket, bytes, kPing);
    };
    for (int i = 0; i < kRounds / 10; ++i) once();
    seconds = seconds_of([&] {
      for (int i = 0; i < kRounds; ++i) once();
    });
    ::close(socket);
  });
  return seconds / kRounds * 1e6;
}

double stream_mb_per_s() {
  double seconds = 0;
  with_two_processes(true, swallow, [&](int socket) {
    std::vector<char> chunk(kChunk, 'x');
    seconds = seconds_of([&] {
      for (std::size_t done = 0; done < kStream; done += kChunk)
        write_all(socket, chunk.data(), kChunk);
      read_all(socket, chunk.data(), 1);
    });
    ::close(socket);
  });
  return static_cast<double>(kStream) / seconds / 1e6;
}

}  // namespace

int main() {
  Report report;
  report.add("ping_pong_us", ping_pong_us());
  report.add("stream_mb_per_s", stream_mb_per_s());
  report.print();
}
