#pragma once
#include <deque>
#include <map>
#include <memory>

#include "proto/slave.capnp.h"
#include "slave/disk_pool.h"
#include "slave/program_cache.h"
#include "slave/session.h"
#include "slave/store/blob_store.h"

namespace knee::slave {

/// A session over the wire: keeps the pending exchanges and answers them from the outbox.
/// Destruction, when the driver drops the capability or its connection breaks, ends the session.
class SessionServer final : public proto::Session::Server {
 public:
  SessionServer(SlaveContext& slave, DiskPool& disk, BlobStore& store, const std::string& identity,
                std::uint32_t slot_limit, std::shared_ptr<PreparedProgram> prepared,
                std::optional<WorkerProgram> program, std::vector<std::string> environment);

  kj::Promise<void> exchange(ExchangeContext context) override;
  kj::Promise<void> putValue(PutValueContext context) override;
  kj::Promise<void> getValue(GetValueContext context) override;
  kj::Promise<void> signalTask(SignalTaskContext context) override;
  kj::Promise<void> openHome(OpenHomeContext context) override;
  kj::Promise<void> writeStdin(WriteStdinContext context) override;
  kj::Promise<void> taskWaits(TaskWaitsContext context) override;
  kj::Promise<void> refuseInTask(RefuseInTaskContext context) override;

  Session& session() { return session_; }

 private:
  struct Pending {
    ExchangeContext context;
    kj::Own<kj::PromiseFulfiller<void>> answered;
  };

  kj::Promise<void> accept(ExchangeContext context);
  static void answer(OpenHomeContext& context, std::shared_ptr<Home> home);
  /// On the disk pool.
  std::vector<BlobPin> pin_shared(const std::vector<Digest>& digests);
  void answer();
  kj::Promise<void> send(ResultValue value, proto::ByteSink::Client sink);

  DiskPool& disk_;
  BlobStore& store_;
  std::shared_ptr<PreparedProgram> prepared_;
  std::vector<std::string> environment_;  ///< what the session adds to the slave's
  /// Of homes, by what they are made of: each stays as long as the session.
  std::map<Digest, std::shared_ptr<PreparedProgram>> other_programs_;
  std::vector<BlobPin> shared_pins_;
  std::deque<Pending> pending_;
  Session session_;
};

}  // namespace knee::slave
