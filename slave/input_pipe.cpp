#include "input_pipe.h"

#include <fcntl.h>
#include <kj/debug.h>

#include <cerrno>
#include <utility>

#include "common/base/check.h"

namespace knee::slave {

InputPipe::InputPipe(kj::UnixEventPort& port) {
  int ends[2];
  check(::pipe2(ends, O_CLOEXEC), "cannot make a pipe for a command's standard input");
  read_.reset(ends[0]);
  write_.reset(ends[1]);
  // Only our end: the command expects to block.
  check(::fcntl(write_.get(), F_SETFL, O_NONBLOCK), "cannot make a pipe non-blocking");
  observer_.emplace(port, write_.get(), kj::UnixEventPort::FdObserver::OBSERVE_WRITE);
}

InputPipe::~InputPipe() {
  pumping_ = nullptr;
  answer(Answer::closed);
}

kj::Promise<InputPipe::Answer> InputPipe::write(kj::Array<const kj::byte> bytes, bool end) {
  KJ_REQUIRE(waiting_ == nullptr,
             "the command's standard input has not taken yet what came before");
  if (!write_) return Answer::closed;
  bytes_ = kj::mv(bytes);
  written_ = 0;
  end_ = end;
  auto paf = kj::newPromiseAndFulfiller<Answer>();
  waiting_ = kj::mv(paf.fulfiller);
  pumping_ = pump().eagerlyEvaluate([this](kj::Exception&&) { answer(Answer::closed); });
  return kj::mv(paf.promise);
}

kj::Promise<void> InputPipe::pump() {
  // An edge that comes between the attempt and the wait must not be missed.
  auto writable = observer_->whenBecomesWritable();
  const auto pushed = push();
  if (!pushed) return writable.then([this] { return pump(); });
  // What waits hears of it in a turn of its own: it may destroy this.
  answer(*pushed);
  return kj::READY_NOW;
}

std::optional<InputPipe::Answer> InputPipe::push() {
  while (written_ < bytes_.size()) {
    const ssize_t size = ::write(write_.get(), bytes_.begin() + written_, bytes_.size() - written_);
    if (size >= 0) {
      written_ += static_cast<std::size_t>(size);
    } else if (errno == EAGAIN) {
      return std::nullopt;
    } else if (errno != EINTR) {
      return Answer::closed;  // EPIPE
    }
  }
  return Answer::taken;
}

void InputPipe::answer(Answer answer) {
  bytes_ = nullptr;
  if (answer == Answer::closed || end_) close();
  KJ_IF_MAYBE (waiting, waiting_) {
    auto fulfiller = kj::mv(*waiting);
    waiting_ = nullptr;
    fulfiller->fulfill(kj::mv(answer));
  }
}

void InputPipe::close() {
  observer_.reset();
  write_.reset();
}

}  // namespace knee::slave
