#include "tests/system/harness/slow_line.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "tests/system/harness/temporary_folder.h"

namespace knee::test {
namespace {

namespace asio = boost::asio;
using Protocol = asio::local::stream_protocol;
using Socket = std::shared_ptr<Protocol::socket>;

/// What goes one way.
class Flow : public std::enable_shared_from_this<Flow> {
 public:
  /// `heard`: called when something comes.
  Flow(Socket from, Socket to, std::chrono::milliseconds delay, std::function<void()> heard)
      : from_(std::move(from)),
        to_(std::move(to)),
        delay_(delay),
        heard_(std::move(heard)),
        timer_(from_->get_executor()) {}

  void read() {
    from_->async_read_some(
        asio::buffer(some_), [self = shared_from_this()](auto error, std::size_t size) {
          if (error) return self->end();
          self->heard_();
          self->late_.push_back({std::chrono::steady_clock::now() + self->delay_,
                                 {self->some_.begin(), self->some_.begin() + size}});
          if (self->late_.size() == 1) self->write();
          self->read();
        });
  }

 private:
  struct Piece {
    std::chrono::steady_clock::time_point due;
    std::vector<char> bytes;
  };

  void write() {
    timer_.expires_at(late_.front().due);
    timer_.async_wait([self = shared_from_this()](auto) {
      asio::async_write(*self->to_, asio::buffer(self->late_.front().bytes),
                        [self](auto error, std::size_t) {
                          if (error) return self->end();
                          self->late_.pop_front();
                          if (!self->late_.empty()) self->write();
                        });
    });
  }
  void end() {
    boost::system::error_code ignored;
    from_->close(ignored);
    to_->close(ignored);
  }

  Socket from_;
  Socket to_;
  std::chrono::milliseconds delay_;
  std::function<void()> heard_;
  asio::steady_timer timer_;
  std::array<char, 65536> some_{};
  std::deque<Piece> late_;
};

}  // namespace

class SlowLine::Parts {
 public:
  Parts(const std::string& address, std::chrono::milliseconds delay)
      : slave_(address.substr(std::string("unix:").size())), delay_(delay) {
    accept();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~Parts() {
    io_.stop();
    thread_.join();
  }

  const std::string& address() const { return address_; }
  unsigned turns() const { return turns_; }
  unsigned begin() {
    const unsigned before = turns_;
    slave_spoke_ = true;  // whatever the driver has sent already, what it sends now counts
    return before;
  }

 private:
  void accept() {
    acceptor_.async_accept([this](auto error, Protocol::socket socket) {
      if (error) return;
      const auto driver = std::make_shared<Protocol::socket>(std::move(socket));
      const auto slave = std::make_shared<Protocol::socket>(io_);
      slave->connect(Protocol::endpoint(slave_), error);
      if (!error) {
        std::make_shared<Flow>(driver, slave, delay_, [this] {
          if (slave_spoke_.exchange(false)) ++turns_;
        })->read();
        std::make_shared<Flow>(slave, driver, delay_, [this] { slave_spoke_ = true; })->read();
      }
      accept();
    });
  }

  std::string slave_;
  std::chrono::milliseconds delay_;
  std::atomic<bool> slave_spoke_ = false;
  std::atomic<unsigned> turns_ = 0;
  TemporaryFolder folder_;
  std::string address_ = "unix:" + (folder_ / "slow.sock");
  asio::io_context io_;
  Protocol::acceptor acceptor_{io_, Protocol::endpoint(folder_ / "slow.sock")};
  std::thread thread_;
};

SlowLine::SlowLine(const std::string& address, std::chrono::milliseconds delay)
    : parts_(std::make_unique<Parts>(address, delay)) {}

SlowLine::~SlowLine() = default;

const std::string& SlowLine::address() const {
  return parts_->address();
}

unsigned SlowLine::begin() const {
  return parts_->begin();
}

unsigned SlowLine::turns() const {
  return parts_->turns();
}

}  // namespace knee::test
