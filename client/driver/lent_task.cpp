#include "lent_task.h"

namespace knee::driver {

kj::Promise<Waiter::Wait> LentTask::wait() {
  KJ_IF_MAYBE (session, link_.session()) {
    auto request = session->taskWaitsRequest(capnp::MessageSize{8, 0});
    request.setId(task_);
    return request.send().then([this](capnp::Response<proto::Session::TaskWaitsResults> answer) {
      auto wait = read(answer);
      wait.within.push_back(task_);
      return wait;
    });
  }
  return Wait{};
}

kj::Promise<void> LentTask::refuse(std::uint64_t call, const char* why) {
  KJ_IF_MAYBE (session, link_.session()) {
    auto request = session->refuseInTaskRequest();
    request.setId(task_);
    request.setCall(call);
    request.setWhy(why);
    return request.send().ignoreResult();
  }
  return kj::READY_NOW;
}

}  // namespace knee::driver
