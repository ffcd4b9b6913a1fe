#include "cli/halt_policy.h"

#include <knee/error.h>

#include <charconv>

namespace knee::cli {
namespace {

[[noreturn]] void refuse(const std::string& text) {
  throw Error(Error::Kind::usage, "--halt '" + text +
                                      "': write never, or for instance now,fail=1 or soon,fail=30% "
                                      "(also success= and done=)");
}

}  // namespace

HaltPolicy HaltPolicy::parse(const std::string& text) {
  HaltPolicy policy;
  if (text == "never") return policy;
  const auto comma = text.find(',');
  const auto equals = text.find('=');
  if (comma == text.npos || equals == text.npos || equals < comma) refuse(text);
  const std::string how = text.substr(0, comma);
  const std::string what = text.substr(comma + 1, equals - comma - 1);
  std::string count = text.substr(equals + 1);
  if (how != "now" && how != "soon") refuse(text);
  policy.how_ = how == "now" ? How::now : How::soon;
  if (what == "fail")
    policy.what_ = What::fail;
  else if (what == "success")
    policy.what_ = What::success;
  else if (what == "done")
    policy.what_ = What::done;
  else
    refuse(text);
  policy.percent_ = count.ends_with('%');
  if (policy.percent_) count.pop_back();
  const auto [end, error] =
      std::from_chars(count.data(), count.data() + count.size(), policy.count_);
  if (error != std::errc() || end != count.data() + count.size() || policy.count_ == 0)
    refuse(text);
  return policy;
}

bool HaltPolicy::reached(std::uint64_t succeeded, std::uint64_t failed) const {
  if (how_ == How::never) return false;
  const std::uint64_t done = succeeded + failed;
  const std::uint64_t counted = what_ == What::fail      ? failed
                                : what_ == What::success ? succeeded
                                                         : done;
  if (!percent_) return counted >= count_;
  return done >= 3 && counted * 100 >= count_ * done;
}

}  // namespace knee::cli
