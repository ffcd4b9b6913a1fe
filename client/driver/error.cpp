#include <knee/error.h>

#include <utility>

namespace knee {

Error::Error(Kind kind, const std::string& text, Where where, std::string exception_type,
             std::string exception_text, std::string traceback)
    : runtime_error(text),
      kind_(kind),
      slave_(std::move(where.slave)),
      task_(std::move(where.task)),
      attempt_(where.attempt),
      exception_type_(std::move(exception_type)),
      exception_text_(std::move(exception_text)),
      traceback_(std::move(traceback)) {}

Error::~Error() = default;

}  // namespace knee
