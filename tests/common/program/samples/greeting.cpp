// The library the samples link. Built several times, to see which one a program got.
#ifndef GREETING
#define GREETING "shipped"
#endif

extern "C" const char* greeting() {
  return GREETING;
}
