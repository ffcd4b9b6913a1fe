#pragma once

namespace knee::slave {

/// What a worker says it waits for (ObjectHost.waits in worker.capnp), passed on to the driver.
template <class Answer, class Results>
void pass_on_waits(const Answer& answer, Results results) {
  results.setCall(answer.getCall());
  results.setBehind(answer.getBehind());
  results.setWithin(answer.getWithin());
}

}  // namespace knee::slave
