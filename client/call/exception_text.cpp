#include "exception_text.h"

#include <cxxabi.h>

#include <cstdlib>
#include <exception>

namespace knee::detail {
namespace {

constexpr std::size_t kMostWhat = std::size_t{32} * 1024;

std::string demangled(const char* name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name, nullptr, nullptr, &status);
  std::string result = status == 0 ? text : name;
  std::free(text);
  return result;
}

}  // namespace

ExceptionText describe_current_exception() {
  ExceptionText failed;
  if (const auto* type = abi::__cxa_current_exception_type()) failed.type = demangled(type->name());
  try {
    throw;
  } catch (const ForeignException& error) {
    failed = error.text();
  } catch (const std::exception& error) {
    failed.what = error.what();
  } catch (const std::string& text) {
    failed.what = text;
  } catch (const char* text) {
    failed.what = text;
  } catch (...) {
    failed.what = "(not a std::exception)";
  }
  if (failed.what.size() > kMostWhat) failed.what.resize(kMostWhat);
  // Where it was thrown is said last.
  if (failed.traceback.size() > kMostWhat)
    failed.traceback.erase(0, failed.traceback.size() - kMostWhat);
  return failed;
}

}  // namespace knee::detail
