#pragma once
#include <knee/error.h>

#include <exception>
#include <string>

namespace knee::detail {

/// What a task or method threw, for people.
struct ExceptionText {
  std::string type;         ///< demangled
  std::string what;         ///< at most 32 KiB
  std::string traceback{};  ///< the same; empty: not known
};

/// An exception of another language on its way through C++.
class ForeignException final : public std::exception {
 public:
  explicit ForeignException(ExceptionText text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.what.c_str(); }
  const ExceptionText& text() const { return text_; }

 private:
  ExceptionText text_;
};

/// What that is for whoever called: Error::Kind::exception with all of it.
inline Error as_error(const ExceptionText& text) {
  return {Error::Kind::exception, text.what, {}, text.type, text.what, text.traceback};
}

/// In a catch block.
ExceptionText describe_current_exception();

}  // namespace knee::detail
