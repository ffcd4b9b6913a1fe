#include <knee/codec.h>

#include <complex>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

/// Encoded arguments and results of every kind of type. What is read can be written again.
namespace {

struct Point {
  double x = 0;
  std::vector<std::string> names;
  std::optional<int> number;
};

template <class T>
void read(std::span<const std::byte> bytes) {
  try {
    const auto value = knee::detail::decode<T>(bytes);
    knee::detail::Bytes again;
    knee::detail::encode(again, value);
  } catch (const knee::detail::DecodeError&) {
  }
}

std::size_t shape(const std::vector<double>& numbers, const std::string& text, const Point& point) {
  return numbers.size() + text.size() + point.names.size();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data + 1, size - 1));
  switch (data[0] % 10) {
    case 0:
      read<std::string>(bytes);
      break;
    case 1:
      read<std::vector<double>>(bytes);
      break;
    case 2:
      read<std::vector<std::string>>(bytes);
      break;
    case 3:
      read<std::map<std::string, std::vector<int>>>(bytes);
      break;
    case 4:
      read<std::variant<int, std::string, std::vector<float>>>(bytes);
      break;
    case 5:
      read<std::tuple<bool, std::optional<std::string>, std::complex<double>>>(bytes);
      break;
    case 6:
      read<Point>(bytes);
      break;
    case 7:
      read<std::vector<Point>>(bytes);
      break;
    case 8:
      read<std::vector<std::vector<std::vector<bool>>>>(bytes);
      break;
    default:
      try {
        knee::detail::Bytes result;
        knee::detail::invoke_encoded<shape>(bytes, result);
      } catch (const knee::detail::DecodeError&) {
      }
  }
  return 0;
}
