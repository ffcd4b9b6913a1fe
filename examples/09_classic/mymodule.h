#pragma once
#include <chrono>
#include <thread>

/// An ordinary class, of which nothing in it knows that its objects may be elsewhere.
struct MyClass {
  explicit MyClass(double seconds) : t(seconds) {}
  /// Takes t seconds.
  int f(int n) {
    std::this_thread::sleep_for(std::chrono::duration<double>(t));
    return n + 1;
  }
  double t;
};
