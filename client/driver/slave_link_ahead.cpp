#include <kj/debug.h>

#include <utility>

#include "client/call/task_access.h"
#include "client/driver/slave_link.h"
#include "client/driver/upload.h"
#include "common/channel/layout.h"
#include "common/rpc/byte_stream.h"
#include "common/rpc/rpc_loop.h"

// What travels ahead of a task: its input files, shared values and a large value.
namespace knee::driver {
namespace {

using detail::Access;

/// Of a slave whose store is full of what is in use: how often it is asked, and how many times more
/// when no task of this driver is there whose end could make room.
constexpr auto kRoomRetry = 100 * kj::MILLISECONDS;
constexpr unsigned kPatience = 20;

}  // namespace

void SlaveLink::send_later(detail::TaskState& task) {
  // What fails before anything was sent would fail at every slave.
  auto failure = std::make_shared<AttemptEnd>(AttemptEnd::exception);
  const auto id = task.id;
  auto canceler = kj::heap<kj::Canceler>();
  auto sent = canceler->wrap(kj::evalNow([&] { return send_when_room(task, failure, kPatience); }));
  leaving_.emplace(id, Leaving{kj::mv(canceler), failure, Access::share(task)});
  owner_.delayed(*this, id);
  auto unsent = [this, &task, id](AttemptEnd end, const std::string& why) {
    leaving_.erase(id);
    --tasks_here_;
    owner_.unsent(*this, task, end, why);
  };
  calls_->add(sent.then(
      [this, &task, id, keep = Access::share(task)]() -> kj::Promise<void> {
        auto* one = &task;
        const bool awaited = leaving_.at(id).awaited;
        leaving_.erase(id);
        owner_.left(*this, id);
        exchange({&one, 1});
        if (awaited) {
          awaited_.push_back(id);
          pump();
        }
        return kj::READY_NOW;
      },
      [unsent, failure, keep = Access::share(task)](kj::Exception&& error) -> kj::Promise<void> {
        if (error.getType() == kj::Exception::Type::DISCONNECTED) return kj::mv(error);
        unsent(*failure, rpc::text_of(error));
        return kj::READY_NOW;
      }));
}

/// A store that is full of what queued tasks need has room again when they have ended.
kj::Promise<void> SlaveLink::send_when_room(detail::TaskState& task,
                                            std::shared_ptr<AttemptEnd> failure,
                                            unsigned patience) {
  return send_ahead(task, failure)
      .catch_([this, &task, failure, patience](kj::Exception&& error) -> kj::Promise<void> {
        const bool others_end_there = tasks_here_ > leaving_.size();
        const unsigned left = others_end_there ? kPatience : patience - 1;
        if (error.getType() != kj::Exception::Type::OVERLOADED || left == 0) return kj::mv(error);
        if (!std::exchange(told_full_, true))
          owner_.note(*this, rpc::text_of(error) + "; waiting for room");
        return io_.provider->getTimer().afterDelay(kRoomRetry).then([this, &task, failure, left] {
          return send_when_room(task, failure, left);
        });
      });
}

kj::Promise<void> SlaveLink::send_ahead(detail::TaskState& task,
                                        std::shared_ptr<AttemptEnd> failure) {
  auto files = kj::Promise<void>(kj::READY_NOW);
  if (is_command(task)) files = send_inputs(command_job(task), failure);
  return files.then([this, &task, failure]() -> kj::Promise<void> {
    *failure = AttemptEnd::crashed;
    kj::Vector<kj::Promise<void>> ahead;
    KJ_IF_MAYBE (store, store_) {
      for (const auto& blob : Access::shared(task)) ahead.add(shared_.send(*store, blob));
    } else {
      return KJ_EXCEPTION(DISCONNECTED, "the slave is gone");
    }
    // Last, so that it lies in the slave's memory for no longer than it takes its task to follow,
    // and is sent once, however long the rest waits for room.
    return kj::joinPromises(ahead.releaseAsArray()).then([this, &task]() -> kj::Promise<void> {
      if (payload_of(task).size() > channel::kMaxInline) return put_value(task);
      return kj::READY_NOW;
    });
  });
}

kj::Promise<void> SlaveLink::send_inputs(CommandJob& job, std::shared_ptr<AttemptEnd> failure) {
  if (job.command.inputs.empty()) return kj::READY_NOW;
  return input_files_.describe(job.command.inputs)
      .then([this, &job, failure](InputBlobs blobs) -> kj::Promise<void> {
        job.inputs = *blobs;
        *failure = AttemptEnd::crashed;
        KJ_IF_MAYBE (store, store_) return inputs_.send(*store, job.inputs);
        return KJ_EXCEPTION(DISCONNECTED, "the slave is gone");
      });
}

kj::Promise<void> SlaveLink::announce(const detail::SharedBlobRef& blob) {
  KJ_IF_MAYBE (session, session_) {
    auto request = session->exchangeRequest();
    auto work = request.initWork();
    work.setAcknowledge(acknowledge_);
    work.initShared(1).set(0, bytes_of(blob->digest));
    return request.send().then([this](capnp::Response<proto::Session::ExchangeResults> answer) {
      receive(answer.getUpdate());
    });
  }
  return KJ_EXCEPTION(DISCONNECTED, "the slave is gone");
}

kj::Promise<void> SlaveLink::put_value(detail::TaskState& task) {
  return lane_.take(payload_of(task).size())
      .then([this, &task](kj::Own<UploadLane::Turn> turn) -> kj::Promise<void> {
        KJ_IF_MAYBE (session, session_) {
          auto request = session->putValueRequest();
          request.setId(task.id);
          request.setSize(payload_of(task).size());
          return rpc::send_bytes(request.send().getSink(), payload_of(task), heard_)
              .attach(kj::mv(turn));
        }
        return KJ_EXCEPTION(DISCONNECTED, "the slave is gone");
      });
}

}  // namespace knee::driver
