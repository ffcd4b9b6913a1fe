#include "client/files/file_side.h"

#include <iterator>

#include "client/call/exception_text.h"

namespace knee::detail {
namespace {

void cut(std::string& text, const std::string& part, const std::string& instead) {
  if (const auto place = text.find(part); place != text.npos)
    text.replace(place, part.size(), instead);
}

Error without_function(const Error& error) {
  if (error.task().empty()) return error;
  std::string text = error.what();
  cut(text, "task '" + error.task() + "'", "the file service");
  cut(text, ", attempt 1", "");
  cut(text, ", and had no attempts left", "");
  return Error(error.kind(), text, {error.slave(), error.task(), error.attempt()});
}

}  // namespace

Error in_short(const Error& error) {
  if (error.kind() != Error::Kind::exception) return without_function(error);
  const std::string where = error.slave().empty() ? "" : "on slave " + error.slave() + ": ";
  return Error(Error::Kind::exception, where + error.exception_text(),
               {error.slave(), error.task(), error.attempt()}, error.exception_type(),
               error.exception_text());
}

Ref<FileService> FileSide::service() {
  const std::lock_guard lock(mutex_);
  if (!service_) service_ = make_();
  return service_;
}

std::vector<FileStatus> FileSide::list(const std::string& folder) {
  return said([&] {
    const auto reader = service().call<&FileService::list>(folder);
    std::vector<FileStatus> all;
    for (;;) {
      auto some = reader.call<&FolderReader::next>().get();
      if (some.empty()) return all;
      all.insert(all.end(), std::make_move_iterator(some.begin()),
                 std::make_move_iterator(some.end()));
    }
  });
}

void FileSide::rethrow() {
  try {
    throw;
  } catch (const Error& error) {
    using Kind = Error::Kind;
    if (error.kind() != Kind::exception && error.kind() != Kind::usage) {
      // Its process is gone, or could not be had: the next call tries a new one.
      const std::lock_guard lock(mutex_);
      service_ = {};
    }
    throw in_short(error);
  } catch (...) {
    throw as_error(describe_current_exception());
  }
}

}  // namespace knee::detail
