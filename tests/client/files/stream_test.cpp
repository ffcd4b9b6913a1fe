#include <knee/remote_stream.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <iterator>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using Catch::Contains;

namespace {

template <class T>
knee::Promise<T> ended(const T& value) {
  knee::detail::Bytes encoded;
  knee::detail::encode(encoded, value);
  return knee::Promise<T>(knee::detail::ended_task(std::move(encoded), nullptr));
}
knee::Promise<void> ended() {
  return knee::Promise<void>(knee::detail::ended_task({}, nullptr));
}
template <class T>
knee::Promise<T> failed(const std::string& why) {
  return knee::Promise<T>(knee::detail::ended_task(
      {}, std::make_exception_ptr(knee::Error(knee::Error::Kind::exception, "f threw: " + why,
                                              {"gandalf", "f", 1}, "std::runtime_error", why))));
}

/// Bytes in memory that count the calls, and fail where they are told to.
struct Memory final : knee::RemoteBytes {
  knee::Promise<std::string> read(std::uint64_t offset, std::size_t most) override {
    ++reads;
    most_read = std::max(most_read, most);
    if (offset + most > broken_from) return failed<std::string>("a bad block");
    if (!can_seek) offset = std::exchange(passed, std::min(passed + most, content.size()));
    asked_to = std::max<std::size_t>(asked_to, offset + most);
    return ended(offset < content.size() ? content.substr(offset, most) : std::string());
  }
  knee::Promise<void> write(std::uint64_t offset, std::string bytes) override {
    ++writes;
    if (offset + bytes.size() > broken_from) return failed<void>("no room");
    content.resize(std::max(content.size(), offset + bytes.size()));
    content.replace(offset, bytes.size(), bytes);
    return ended();
  }
  knee::Promise<std::uint64_t> size() override { return ended(std::uint64_t{content.size()}); }
  knee::Promise<void> close() override {
    ++closes;
    return ended();
  }
  bool seekable() const override { return can_seek; }

  std::string content;
  bool can_seek = true;
  std::size_t broken_from = SIZE_MAX;
  int reads = 0;
  int writes = 0;
  int closes = 0;
  std::size_t most_read = 0;
  std::size_t asked_to = 0;
  std::size_t passed = 0;
};

std::string lines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "line " + std::to_string(i) + '\n';
  return text;
}

}  // namespace

TEST_CASE("a stream is read line by line with few calls") {
  const auto bytes = std::make_shared<Memory>();
  bytes->content = lines(400'000);  // 4.7 MB
  knee::RemoteStream in(bytes);
  int count = 0;
  for (std::string line; std::getline(in, line); ++count)
    if (line != "line " + std::to_string(count)) FAIL("line " << count << " is '" << line << "'");
  CHECK(count == 400'000);
  CHECK(in.eof());
  CHECK_FALSE(in.bad());
  CHECK(bytes->reads < 30);
  CHECK(bytes->most_read == 1 << 20);
}

TEST_CASE("who reads one line does not get much of the file") {
  const auto bytes = std::make_shared<Memory>();
  bytes->content.resize(100'000'000, '\n');
  knee::RemoteStream in(bytes);
  std::string line;
  std::getline(in, line);
  CHECK(bytes->asked_to <= 512 << 10);
}

TEST_CASE("what is written goes in large pieces, and flush and close send what is left") {
  const auto bytes = std::make_shared<Memory>();
  knee::RemoteStream out(bytes);
  const std::string text = lines(400'000);
  std::istringstream all(text);
  for (std::string line; std::getline(all, line);) out << line << '\n';
  CHECK(bytes->writes < 15);
  CHECK(bytes->content.size() < text.size());
  out.flush();
  CHECK(bytes->content == text);
  out << "end";
  out.close();
  CHECK(bytes->content == text + "end");
  CHECK(bytes->closes == 1);
  CHECK(out.good());
}

TEST_CASE("a stream that is dropped has written everything") {
  const auto bytes = std::make_shared<Memory>();
  knee::RemoteStream(bytes) << "all of it";
  CHECK(bytes->content == "all of it");
}

TEST_CASE("an empty file ends at once") {
  const auto bytes = std::make_shared<Memory>();
  knee::RemoteStream in(bytes);
  CHECK(in.get() == std::char_traits<char>::eof());
  CHECK(in.eof());
  CHECK_FALSE(in.bad());
}

TEST_CASE("what is added behind the end is read after clear, as from a file") {
  const auto bytes = std::make_shared<Memory>();
  bytes->content = "one\n";
  knee::RemoteStream in(bytes);
  std::string line;
  std::getline(in, line);
  CHECK_FALSE(std::getline(in, line));
  bytes->content += "two\n";
  in.clear();
  REQUIRE(std::getline(in, line));
  CHECK(line == "two");
}

TEST_CASE("seeking goes anywhere, and telling costs nothing") {
  const auto bytes = std::make_shared<Memory>();
  bytes->content = lines(400'000);
  knee::RemoteStream in(bytes);
  std::string line;
  std::getline(in, line);
  const int reads = bytes->reads;
  CHECK(in.tellg() == 7);
  in.seekg(0);
  std::getline(in, line);
  CHECK(line == "line 0");
  CHECK(bytes->reads == reads);
  in.seekg(-4, std::ios::end);
  std::getline(in, line);
  CHECK(line == "999");
  in.seekg(3'000'000);
  CHECK(in.get() == bytes->content[3'000'000]);
  in.seekg(-2, std::ios::cur);
  CHECK(in.get() == bytes->content[2'999'999]);
  CHECK_FALSE(in.seekg(-1));
}

TEST_CASE("one stream reads and writes at one position") {
  const auto bytes = std::make_shared<Memory>();
  bytes->content = "abcdefgh";
  knee::RemoteStream both(bytes);
  CHECK(both.get() == 'a');
  both << "XY";
  CHECK(both.tellp() == 3);
  CHECK(both.get() == 'd');
  CHECK(bytes->content == "aXYdefgh");
  both.seekp(0, std::ios::end);
  both << "Z" << std::flush;
  CHECK(bytes->content == "aXYdefghZ");
  both.seekg(1);
  CHECK(both.get() == 'X');
}

TEST_CASE("what cannot be seeked is read in order, and not ahead of what is written") {
  const auto bytes = std::make_shared<Memory>();
  bytes->content = lines(40'000);
  bytes->can_seek = false;
  knee::RemoteStream in(bytes);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  CHECK(text == bytes->content);
  in.clear();
  CHECK_FALSE(in.seekg(0));

  const auto talk = std::make_shared<Memory>();
  talk->content = "answer\n";
  talk->can_seek = false;
  knee::RemoteStream both(talk);
  std::string line;
  std::getline(both, line);
  CHECK(line == "answer");
  CHECK(talk->reads == 1);
}

TEST_CASE("a failure to read sets badbit and says what it was") {
  const auto bytes = std::make_shared<Memory>();
  bytes->content.resize(1 << 20, 'x');
  bytes->broken_from = 200'000;
  knee::RemoteStream in(bytes);
  std::string word;
  in >> word;
  CHECK(word.size() <= 200'000);
  CHECK(in.bad());
  CHECK(in.error() == "on slave gandalf: a bad block");
}

TEST_CASE("with exceptions asked for, the Error itself comes out of a stream") {
  const auto bytes = std::make_shared<Memory>();
  bytes->broken_from = 0;
  knee::RemoteStream in(bytes);
  in.exceptions(std::ios::badbit);
  std::string line;
  try {
    std::getline(in, line);
    FAIL("nothing was thrown");
  } catch (const knee::Error& error) {
    CHECK(error.slave() == "gandalf");
    CHECK(error.exception_text() == "a bad block");
  }
}

TEST_CASE("a failure to write shows at flush and close, with its reason, and stays") {
  const auto bytes = std::make_shared<Memory>();
  bytes->broken_from = 10;
  knee::RemoteStream out(bytes);
  out << "more than ten bytes";
  CHECK(out.good());
  out.flush();
  CHECK(out.bad());
  CHECK_THAT(out.error(), Contains("no room"));
  CHECK_THROWS_AS(out.close(), knee::Error);
  out.clear();
  out << "x" << std::flush;
  CHECK(out.bad());
}
