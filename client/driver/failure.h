#pragma once
#include <kj/common.h>

#include <exception>
#include <string>
#include <vector>

#include "client/driver/schedule_types.h"
#include "knee/detail/task_state.h"
#include "proto/task.capnp.h"

/// Failures as users see them: the one place where outcomes become errors.
namespace knee::driver {

AttemptEnd end_of(proto::Outcome::Reader outcome);

/// `cpu_flags`: of the slave's processor, as program::cpu_flags gives them; empty if not known.
std::exception_ptr error_of(const detail::TaskState& task, proto::Outcome::Reader outcome,
                            const std::string& slave, const std::vector<std::string>& cpu_flags);
/// `slave`: on which it ran, or waited, when it was cancelled; empty: on none.
std::exception_ptr cancelled_error(const detail::TaskState& task, const std::string& slave = {});
std::exception_ptr lost_slave_error(const detail::TaskState& task, const std::string& slave,
                                    const std::string& why);
/// The process of the object that it is a call on has ended. `slave`: where, if that is known.
std::exception_ptr ended_process_error(const detail::TaskState& task, const std::string& slave,
                                       const std::string& why);
/// The task ran, but its large result could not be fetched.
std::exception_ptr lost_result_error(const detail::TaskState& task, const std::string& slave,
                                     const std::string& why);

/// The slave, or what it passed the call on to, did not carry it out.
std::exception_ptr refused_error(const detail::TaskState& task, const std::string& slave,
                                 const std::string& why);

/// A callback waits for it, and it waits for that callback or one after it.
std::exception_ptr circular_error(const detail::TaskState& task, const std::string& slave);

/// Its files could not be sent.
std::exception_ptr unsent_error(const detail::TaskState& task, const std::string& slave,
                                const std::string& why);

/// It is for a slave of this name, which none has.
std::exception_ptr no_such_slave_error(const detail::TaskState& task, const std::string& name,
                                       const std::vector<std::string>& names);

/// This program cannot travel to any slave.
std::exception_ptr unshippable_error(const detail::TaskState& task, const std::string& why);

std::string describe(const SlaveEvent& event, const std::string& slave);

}  // namespace knee::driver
