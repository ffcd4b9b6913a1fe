#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include <knee/object.h>

namespace knee {

/// A Python session on a slave (Slave::python): an interpreter in a process of its own, with the
/// Python, the modules and the environment of that machine. What it prints is printed here.
///
/// Made at once; it starts when its slave is there. A cheap value; any thread. Its process ends
/// with the last reference to it and to its objects, with `close`, with its Cluster and with the
/// driver. Not to outlive its Cluster, except to be destroyed.
class KNEE_EXPORT Python {
 public:
  /// Refers to no session.
  Python() = default;

  /// Runs statements in the module `__main__` of the session, and waits for their end. Throws Error
  /// with what Python raised (exception_type, exception_text, traceback).
  void execute(const std::string& statements) const;
  Promise<Value> async_execute(const std::string& statements) const;
  /// The value of an expression there.
  Object eval(const std::string& expression) const;
  Promise<Value> async_eval(const std::string& expression) const;
  /// A module, imported if it is not yet: "os.path".
  Object module(const std::string& name) const;
  /// A built-in function or type, "open", or another attribute of the module `builtins`.
  Object builtins(const std::string& name) const;
  /// What is called `name` in `__main__`.
  Object operator[](const std::string& name) const;
  /// Gives it that name, and waits for that.
  void set(const std::string& name, Value value) const;

  /// What Python does now ends with KeyboardInterrupt, as Ctrl-C does where it runs. Nothing
  /// happens if it does nothing. Any thread.
  void interrupt() const;
  /// Ends its process at once, whatever it does: what is not answered fails.
  void close();

  /// For the library.
  explicit Python(detail::ObjectRef session) : session_(std::move(session)) {}

 private:
  Object session_;
};

/// While it lives, SIGINT to this process (Ctrl-C) interrupts that session instead of ending the
/// process. One at a time.
class KNEE_EXPORT InterruptOnSigint {
 public:
  explicit InterruptOnSigint(Python python);
  ~InterruptOnSigint();
  InterruptOnSigint(const InterruptOnSigint&) = delete;

 private:
  struct Watch;
  std::unique_ptr<Watch> watch_;
};

}  // namespace knee
