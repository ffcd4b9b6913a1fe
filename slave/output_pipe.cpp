#include "output_pipe.h"

#include <fcntl.h>

#include <array>

#include "common/base/check.h"

namespace knee::slave {
namespace {

constexpr std::size_t kLongLine = std::size_t{8} * 1024;
constexpr std::size_t kTail = std::size_t{4} * 1024;

std::pair<UniqueFd, UniqueFd> make_pipe() {
  int ends[2];
  check(::pipe2(ends, O_CLOEXEC), "cannot make a pipe for a worker's output");
  std::pair<UniqueFd, UniqueFd> pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
  // Only our end: the worker expects to block.
  check(::fcntl(ends[0], F_SETFL, O_NONBLOCK), "cannot make a pipe non-blocking");
  return pipe;
}

}  // namespace

OutputPipe::OutputPipe(kj::UnixEventPort& port, Sink sink, Cut cut)
    : read_([this] {
        auto [reading, writing] = make_pipe();
        write_ = std::move(writing);
        return std::move(reading);
      }()),
      sink_(std::move(sink)),
      cut_(cut),
      observer_(port, read_.get(), kj::UnixEventPort::FdObserver::OBSERVE_READ) {}

OutputPipe::State OutputPipe::drain() {
  std::array<char, 64 * 1024> buffer;
  for (int reads = 0; reads < 16; ++reads) {
    const ssize_t size = ::read(read_.get(), buffer.data(), buffer.size());
    if (size > 0) {
      take(buffer.data(), static_cast<std::size_t>(size));
    } else if (size == 0) {
      return State::ended;
    } else if (errno != EINTR) {
      return State::empty;
    }
  }
  return State::more;
}

void OutputPipe::take(const char* bytes, std::size_t size) {
  tail_.append(bytes, size);
  if (tail_.size() > kTail) tail_.erase(0, tail_.size() - kTail);
  line_.append(bytes, size);
  const auto end = line_.rfind('\n');
  if (end != line_.npos) {
    sink_(line_.substr(0, end + 1));
    line_.erase(0, end + 1);
  }
  if (line_.size() > kLongLine || cut_ == Cut::anywhere) flush();
}

void OutputPipe::flush() {
  if (line_.empty()) return;
  sink_(std::move(line_));
  line_.clear();
}

kj::Promise<void> OutputPipe::pump(std::function<bool()> may_read) {
  if (!may_read()) {
    auto paf = kj::newPromiseAndFulfiller<void>();
    paused_ = kj::mv(paf.fulfiller);
    return paf.promise.then([this, may_read = std::move(may_read)] { return pump(may_read); });
  }
  auto readable = observer_.whenBecomesReadable();
  const State state = drain();
  if (state == State::ended) return kj::READY_NOW;
  // Between two megabytes the loop has a turn.
  if (state == State::more) readable = kj::evalLater([] {});
  return readable.then([this, may_read = std::move(may_read)] { return pump(may_read); });
}

void OutputPipe::resume() {
  KJ_IF_MAYBE (fulfiller, paused_) {
    (*fulfiller)->fulfill();
    paused_ = nullptr;
  }
}

}  // namespace knee::slave
