#pragma once
#include <knee/knee.h>

#include <optional>
#include <stdexcept>

/// Objects of C++ that the tests use by names, from C++ and from Python.
namespace knee::test {

inline Object arithmetic() {
  return knee::Exposed("arithmetic")
      .method("minus", [](int total, int part) { return total - part; }, {"total", "part"})
      .method("half", [](int number) { return number / 2; });
}

/// The numbers from 1, made one after the other; `bad` is none of them.
inline Object counting(int last, int bad = 0) {
  return knee::Exposed("numbers").items([last, bad] {
    return [last, bad, number = 0]() mutable -> std::optional<int> {
      if (number == last) return std::nullopt;
      if (++number == bad) throw std::out_of_range("a number is missing");
      return number;
    };
  });
}

}  // namespace knee::test
