#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "common/process/news.h"
#include "common/process/spawn_plan.h"

/// What keepers and slaves tell each other. What is read says the same when written and read again.
using namespace knee::process;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  const std::vector<int> descriptors(data[0] % 8, 0);
  try {
    const auto plan = decode_plan(bytes, descriptors);
    const auto used = descriptors_of(plan);
    if (decode_plan(encode(plan), used) != plan) std::abort();
    check(plan);
  } catch (const std::runtime_error&) {
  } catch (const std::invalid_argument&) {
  }
  try {
    const auto news = decode_news(bytes);
    if (encode(news).size() <= kMostNewsBytes && decode_news(encode(news)) != news) std::abort();
  } catch (const std::runtime_error&) {
  }
  return 0;
}
