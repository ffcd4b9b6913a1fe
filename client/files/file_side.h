#pragma once
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <knee/error.h>
#include <knee/ref.h>

#include "client/files/file_service.h"

namespace knee::detail {

/// One machine's files as others see them: the FileService there, made when it is first used and
/// again when it has died, and the failures of calls in words. Any thread.
class FileSide {
 public:
  using Make = std::function<Ref<FileService>()>;
  /// `slave`: its name; empty: this process.
  FileSide(std::string slave, Make make) : slave_(std::move(slave)), make_(std::move(make)) {}

  const std::string& slave() const { return slave_; }
  /// A path there for people: "gandalf:data/x".
  std::string name_of(const std::string& path) const {
    return slave_.empty() ? path : slave_ + ":" + path;
  }

  Ref<FileService> service();

  /// Calls a method of the service and waits. Throws Error as `rethrow`.
  template <auto method, class... Args>
  auto ask(const Args&... args) {
    return said([&] { return service().call<method>(args...).get(); });
  }
  /// All that is in a folder.
  std::vector<FileStatus> list(const std::string& folder);
  /// Gives what `action`, which calls something of this side, gives. Throws Error as `rethrow`.
  template <class F>
  auto said(F action) {
    try {
      return action();
    } catch (...) {
      rethrow();
    }
  }

 private:
  /// In a catch block: what was thrown, as an Error that says on which slave.
  [[noreturn]] void rethrow();

  std::string slave_;
  Make make_;
  std::mutex mutex_;
  Ref<FileService> service_;
};

/// What an object on a slave threw, without the name of the function that did: "on slave gandalf:
/// cannot open 'x': ...". Other errors say "the file service" instead.
Error in_short(const Error& error);

}  // namespace knee::detail
