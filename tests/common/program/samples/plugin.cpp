// Loaded by dlopen only.
extern "C" const char* plugin_answer() {
  return "plugin answers";
}
