#include <knee/error.h>
#include <knee/python.h>
#include <knee/slave.h>

#include "client/driver/driver.h"
#include "client/driver/object_ref.h"
#include "client/driver/python_program.h"

namespace knee {

Python Slave::python() const {
  driver::find_knee_python();  // or throws, here, why there are no sessions
  return Python(site_.driver->object_owner().python(site_.pinned));
}

void Python::execute(const std::string& statements) const {
  async_execute(statements).get();
}

Promise<Value> Python::async_execute(const std::string& statements) const {
  return session_.async_call("execute", statements);
}

Object Python::eval(const std::string& expression) const {
  return session_.call("eval", expression);
}

Promise<Value> Python::async_eval(const std::string& expression) const {
  return session_.async_call("eval", expression);
}

Object Python::module(const std::string& name) const {
  return session_.call("module", name);
}

Object Python::builtins(const std::string& name) const {
  return module("builtins").attr(name);
}

Object Python::operator[](const std::string& name) const {
  return session_.item(name);
}

void Python::set(const std::string& name, Value value) const {
  session_.set_item(name, std::move(value));
}

void Python::interrupt() const {
  if (session_) driver::interrupt_home_of(session_.as_value().object());
}

void Python::close() {
  if (session_) driver::end_home_of(session_.as_value().object());
  session_ = Object();
}

}  // namespace knee
