#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>

/// The "embarrassingly parallel" kernel of the NAS Parallel Benchmarks (report RNR-94-007, 2.2):
/// pairs of Gaussian deviates from one long stream of random numbers, counted by square rings
/// around the origin.
namespace ep {

/// x -> a x mod 2^46. As 2^46 divides 2^64, the overflow of 64-bit arithmetic does no harm.
class Random {
 public:
  static constexpr std::uint64_t kMultiplier = 1220703125;  // 5^13
  static constexpr std::uint64_t kSeed = 271828183;
  static constexpr std::uint64_t kMask = (std::uint64_t{1} << 46) - 1;

  /// A stream that has already given `skipped` numbers. Takes log2(skipped) steps, which makes
  /// every block of the stream a task of its own.
  explicit Random(std::uint64_t skipped = 0) {
    for (std::uint64_t power = kMultiplier; skipped != 0;
         skipped >>= 1, power = power * power & kMask)
      if (skipped & 1) state_ = state_ * power & kMask;
  }

  /// The next number, in (0, 1).
  double next() {
    state_ = state_ * kMultiplier & kMask;
    return 0x1p-46 * static_cast<double>(state_);
  }

 private:
  std::uint64_t state_ = kSeed;
};

/// What a block of pairs adds up to. A plain aggregate: Knee sends it as it is.
struct Tally {
  double sum_x = 0;
  double sum_y = 0;
  std::array<std::uint64_t, 10> counts{};  ///< pairs with l <= max(|X|, |Y|) < l + 1

  Tally& operator+=(const Tally& other) {
    sum_x += other.sum_x;
    sum_y += other.sum_y;
    for (std::size_t ring = 0; ring < counts.size(); ++ring) counts[ring] += other.counts[ring];
    return *this;
  }
};

/// Draws `pairs` pairs of uniform numbers from the stream, beginning with pair number `first`.
/// Those that fall into the unit disc become Gaussian pairs by the polar method.
inline Tally tally(std::uint64_t first, std::uint64_t pairs) {
  Random random(2 * first);
  Tally result;
  for (std::uint64_t i = 0; i < pairs; ++i) {
    const double x = 2 * random.next() - 1;
    const double y = 2 * random.next() - 1;
    const double t = x * x + y * y;
    if (t > 1) continue;
    const double scale = std::sqrt(-2 * std::log(t) / t);
    const double gauss_x = x * scale, gauss_y = y * scale;
    result.sum_x += gauss_x;
    result.sum_y += gauss_y;
    ++result.counts[static_cast<std::size_t>(std::max(std::abs(gauss_x), std::abs(gauss_y)))];
  }
  return result;
}

/// A size of the problem and the sums that belong to it.
struct Class {
  std::uint64_t pairs = 0;
  double sum_x = 0;
  double sum_y = 0;
};

inline std::optional<Class> find_class(char letter) {
  switch (letter) {
    case 'S':
      return Class{1 << 24, -3.247834652034740e+03, -6.958407078382297e+03};
    case 'W':
      return Class{1 << 25, -2.863319731645753e+03, -6.320053679109499e+03};
    case 'A':
      return Class{1 << 28, -4.295875165629892e+03, -1.580732573678431e+04};
    case 'B':
      return Class{1 << 30, 4.033815542441498e+04, -2.660669192809235e+04};
    default:
      return std::nullopt;
  }
}

/// The benchmark's own criterion: both sums right to a relative 1e-8.
inline bool verified(const Tally& result, const Class& expected) {
  const auto close = [](double value, double reference) {
    return std::abs((value - reference) / reference) <= 1e-8;
  };
  return close(result.sum_x, expected.sum_x) && close(result.sum_y, expected.sum_y);
}

}  // namespace ep
