#include "common/process/news.h"

#include <cerrno>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include "common/process/packing.h"

namespace knee::process {
namespace {

enum class Kind : std::uint8_t { started = 1, start_failed, death };

constexpr std::size_t kMostTextBytes = 4000;

std::string_view cut(const std::string& text) {
  return std::string_view(text).substr(0, kMostTextBytes);
}

void pack_news(Packer& packer, const Started& news) {
  packer.number(Kind::started);
  packer.number(news.worker);
}

void pack_news(Packer& packer, const StartFailed& news) {
  packer.number(Kind::start_failed);
  packer.number(news.error);
  packer.text(cut(news.step));
  packer.text(cut(news.object));
}

void pack_news(Packer& packer, const DeathRecord& news) {
  packer.number(Kind::death);
  pack(packer, news);
}

void pack_news(Packer&, const KeeperGone&) {
  throw std::logic_error("the end of a keeper is seen, not sent");
}

StartFailed unpack_start_failed(Unpacker& unpacker) {
  StartFailed news;
  unpacker.number(news.error);
  news.step = unpacker.text();
  news.object = unpacker.text();
  return news;
}

const char* advice(const StartFailed& news) {
  if (news.step != "execute") return "";
  switch (news.error) {
    case ENOENT:
      return " (the file, or the interpreter it names, does not exist on this machine)";
    case EACCES:
      return " (is it marked executable, and its file system not mounted noexec?)";
    case ENOEXEC:
      return " (it is not a program of this machine's architecture)";
    case E2BIG:
      return " (arguments and environment together are too long)";
    default:
      return "";
  }
}

}  // namespace

std::string StartFailed::describe() const {
  return "cannot " + step + " '" + object + "': " + std::generic_category().message(error) +
         advice(*this);
}

std::vector<std::byte> encode(const News& news) {
  Packer packer;
  std::visit([&packer](const auto& item) { pack_news(packer, item); }, news);
  return packer.take();
}

News decode_news(std::span<const std::byte> bytes) {
  Unpacker unpacker(bytes);
  switch (unpacker.number<Kind>()) {
    case Kind::started:
      return Started{unpacker.number<pid_t>()};
    case Kind::start_failed:
      return unpack_start_failed(unpacker);
    case Kind::death:
      return unpack_death_record(unpacker);
  }
  throw std::runtime_error("a keeper sent news of an unknown kind");
}

}  // namespace knee::process
