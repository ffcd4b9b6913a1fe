#include "common/rpc/address.h"

#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <optional>
#include <stdexcept>

using knee::rpc::Address;
using Kind = knee::rpc::Address::Kind;

namespace {

/// Sets or removes a variable for as long as it lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* old = std::getenv(name)) old_ = old;
    set(value);
  }
  ~Variable() { set(old_ ? old_->c_str() : nullptr); }

 private:
  void set(const char* value) {
    if (value != nullptr)
      ::setenv(name_, value, 1);
    else
      ::unsetenv(name_);
  }
  const char* name_;
  std::optional<std::string> old_;
};

}  // namespace

TEST_CASE("a host alone has the default port") {
  const auto address = Address::parse("gandalf");
  CHECK(address.kind == Kind::tcp);
  CHECK(address.host == "gandalf");
  CHECK(address.port == 18812);
}

TEST_CASE("host and port, any host, IPv6 and Unix sockets") {
  CHECK(Address::parse("gandalf.example.org:1") ==
        Address{Kind::tcp, "", "gandalf.example.org", 1});
  CHECK(Address::parse(":0") == Address{Kind::tcp, "", "", 0});
  CHECK(Address::parse("10.0.0.1:65535") == Address{Kind::tcp, "", "10.0.0.1", 65535});
  CHECK(Address::parse("[::1]") == Address{Kind::tcp, "", "::1", 18812});
  CHECK(Address::parse("[fe80::1%eth0]:7") == Address{Kind::tcp, "", "fe80::1%eth0", 7});
  CHECK(Address::parse("unix:/a b:c") == Address{Kind::unix_socket, "/a b:c", "", 18812});
}

TEST_CASE("an address's text is the address again") {
  for (const char* text : {"gandalf:18812", ":7", "[::1]:7", "unix:/tmp/x", "unix:relative"}) {
    CHECK(Address::parse(text).text() == text);
    CHECK(Address::parse(Address::parse(text).text()) == Address::parse(text));
  }
  CHECK(Address::parse("gandalf").text() == "gandalf:18812");
}

TEST_CASE("what is no address is refused with the reason and the forms there are") {
  const auto [text, why] = GENERATE(table<const char*, const char*>({
      {"", "it is empty"},
      {"host:", "the port must be a number from 0 to 65535"},
      {"host:65536", "the port must be a number"},
      {"host:-1", "the port must be a number"},
      {"host: 1", "the port must be a number"},
      {"host:1x", "the port must be a number"},
      {"host:0x10", "the port must be a number"},
      {"::1", "an IPv6 address needs brackets"},
      {"[::1", "']' is missing"},
      {"[::1]7", "':' is expected after ']'"},
      {"[::1]:", "the port must be a number"},
      {"unix:", "the socket's path is missing"},
      {"[]", "nothing stands between the brackets"},
  }));
  CHECK_THROWS_AS(Address::parse(text), std::invalid_argument);
  CHECK_THROWS_WITH(Address::parse(text), Catch::StartsWith("bad address '" + std::string(text)) &&
                                              Catch::Contains(why) && Catch::Contains("unix:PATH"));
}

TEST_CASE(
    "the default socket lies in the user's runtime folder, or else in one named by the user") {
  {
    const Variable runtime("XDG_RUNTIME_DIR", "/run/user/7");
    CHECK(knee::rpc::default_socket_path() == "/run/user/7/knee/slave.sock");
  }
  const auto other = "/tmp/knee-" + std::to_string(::getuid()) + "/slave.sock";
  const Variable runtime("XDG_RUNTIME_DIR", GENERATE(static_cast<const char*>(nullptr), ""));
  CHECK(knee::rpc::default_socket_path() == other);
}
