#pragma once

// Two files that define a static function, a lambda and a template over it with the same names: the
// linker's names for them are equal, the functions are not.
struct Twin {
  const void* function;
  const void* lambda;
  const void* thunk;
};

Twin twin_a();
Twin twin_b();
