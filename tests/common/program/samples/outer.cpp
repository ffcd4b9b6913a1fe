// A library between a program and the greeting, with search rules of its own.
extern "C" const char* greeting();
extern "C" const char* outer_greeting() {
  return greeting();
}
