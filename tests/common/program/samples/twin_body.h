#pragma once

#include "twins.h"

namespace {

__attribute__((noinline)) int answer(int x) {
  return x * kFactor;
}

template <auto F>
__attribute__((noinline)) int thunk(int x) {
  return F(x) + kFactor;
}

template <class F>
const void* address_of(F f) {
  return reinterpret_cast<const void*>(f);
}

inline Twin make_twin() {
  int (*lambda)(int) = [](int x) { return x + kFactor; };
  return {address_of(&answer), address_of(lambda), address_of(&thunk<answer>)};
}

}  // namespace
