#pragma once
#include <kj/async-io.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <knee/detail/task_state.h>

#include "client/driver/connector.h"
#include "client/driver/input_files.h"
#include "client/driver/input_source.h"
#include "client/driver/schedule_types.h"
#include "client/driver/shared_blob.h"
#include "client/driver/shared_shipment.h"
#include "client/driver/shipment.h"
#include "client/driver/upload_lane.h"
#include "common/rpc/byte_stream.h"
#include "proto/slave.capnp.h"

namespace knee::driver {

class SlaveLink;

/// What a link tells its dispatcher. On the RPC loop.
class LinkOwner {
 public:
  /// It answers, and calls itself `own_name`.
  virtual void link_named(SlaveLink& link, const std::string& own_name) = 0;
  /// It has so many slots now, and `SlaveLink::end`.
  virtual void link_up(SlaveLink& link, std::uint32_t slots) = 0;
  /// `why`: a sentence. The link goes on trying.
  virtual void link_down(SlaveLink& link, const std::string& why) = 0;
  virtual void outcome(SlaveLink& link, proto::Outcome::Reader outcome) = 0;
  virtual void started(SlaveLink& link, proto::Started::Reader started) = 0;
  virtual void printed(SlaveLink& link, proto::OutputText::Reader output) = 0;
  virtual void take_back_answered(SlaveLink& link, std::uint32_t given_back) = 0;
  virtual void note(SlaveLink& link, const std::string& text) = 0;
  /// A task given to `send` leaves later: something large travels ahead of it.
  virtual void delayed(SlaveLink& link, std::uint64_t task) = 0;
  /// Now it leaves.
  virtual void left(SlaveLink& link, std::uint64_t task) = 0;
  /// A task given to `send` did not leave: `why`.
  virtual void unsent(SlaveLink& link, detail::TaskState& task, AttemptEnd end,
                      const std::string& why) = 0;
  /// After a round of the above.
  virtual void link_progressed(SlaveLink& link) = 0;
  /// Whether it may bring results now; if not, `SlaveLink::pump` is called later.
  virtual bool may_receive(SlaveLink& link) = 0;
  /// What its arguments refer to, for one attempt of a task with Task.capabilities.
  virtual kj::Vector<proto::Object::Client> lend(detail::TaskState& task) = 0;
  /// Everything of a session request but the program.
  virtual void fill_session(proto::SessionRequest::Builder request) = 0;

 protected:
  ~LinkOwner() = default;
};

/// The driver's hold on one slave: connects, ships the program, opens a session and exchanges tasks
/// for outcomes, again and again for ever. Lives on the RPC loop.
class SlaveLink {
 public:
  /// `shipment`: the program; null: sessions run commands only. `beat`: time between two
  /// heartbeats.
  SlaveLink(LinkOwner& owner, kj::AsyncIoContext& io, Shipment* shipment, InputFiles& inputs,
            kj::Own<Connector> connector, SlaveId id, std::string name, kj::Duration beat);
  SlaveLink(const SlaveLink&) = delete;
  ~SlaveLink();

  void start();

  SlaveId id() const { return id_; }
  /// What messages call it.
  const std::string& name() const { return name_; }
  void rename(const std::string& name) { name_ = name; }
  bool is_up() const { return up_; }
  std::uint32_t slots() const { return slots_; }
  /// When the slave must end, as it says; none: not known.
  std::optional<Time> end() const { return end_; }
  /// Counts the sessions opened so far.
  std::uint64_t session_number() const { return session_number_; }
  /// What the connector leads to, for messages.
  std::string target() const { return connector_->target(); }
  /// None while there is no connection.
  kj::Maybe<proto::Slave::Client>& slave() { return slave_; }
  /// None while there is no session.
  kj::Maybe<proto::Session::Client>& session() { return session_; }
  /// To be told of bytes that come or go.
  const rpc::Heard& heard() const { return heard_; }
  /// Of the slave's processor; empty: not known.
  const std::vector<std::string>& cpu_flags() const { return cpu_flags_; }
  /// Why it is not up; empty before the first attempt has failed.
  const std::string& last_error() const { return last_error_; }

  /// Why this slave cannot run this program as long as it is started as it is; empty: it can, or
  /// that is not known.
  const std::string& unfit() const { return unfit_; }

  void send(std::span<detail::TaskState* const> tasks);
  void take_back(std::uint32_t count);
  void cancel(std::uint64_t task, std::uint64_t grace);
  /// A task that was sent starts at once, beside the slots if none is free.
  void start_awaited(std::uint64_t task);
  void drop_value(std::uint64_t value);
  void signal(std::uint64_t task, int number);
  /// Feeds a command that runs there, as long as this connection lasts.
  void feed(std::uint64_t task, std::shared_ptr<InputSource> source);
  /// A command did not start: its inputs may be gone from the slave's store.
  void forget_inputs(const CommandJob& job) { inputs_.forget(job.inputs); }
  /// Fetches a large result into `into`, which is empty and must live as long as the promise. Fails
  /// if it is not `size` long.
  kj::Promise<void> fetch(std::uint64_t value, std::uint64_t size, detail::Bytes& into);
  kj::Promise<void> fetch(std::uint64_t value, std::uint64_t size, std::string& into);
  /// Keeps a promise as long as this connection lasts; it is dropped before `link_down`. Its
  /// failure ends the connection.
  void keep(kj::Promise<void> promise);

  /// Keeps an exchange pending as long as tasks are there; called at the end of each turn.
  void pump();
  /// From now on until the end of the session also without tasks: objects there may print.
  void listen();

 private:
  struct CallErrors;
  kj::Promise<void> live();
  kj::Promise<void> open(Connected& connected);
  kj::Promise<void> heartbeat(proto::Slave::Client slave);
  void exchange(std::span<detail::TaskState* const> tasks);
  void fill_tasks(proto::Work::Builder work, std::span<detail::TaskState* const> tasks);
  void fill_functions(proto::Work::Builder work);
  static bool goes_at_once(detail::TaskState& task);
  void send_later(detail::TaskState& task);
  kj::Promise<void> send_when_room(detail::TaskState& task, std::shared_ptr<AttemptEnd> failure,
                                   unsigned patience);
  kj::Promise<void> send_ahead(detail::TaskState& task, std::shared_ptr<AttemptEnd> failure);
  kj::Promise<void> send_inputs(CommandJob& job, std::shared_ptr<AttemptEnd> failure);
  kj::Promise<void> put_value(detail::TaskState& task);
  kj::Promise<void> announce(const detail::SharedBlobRef& blob);
  template <class Into>
  kj::Promise<void> fetch_to(std::uint64_t value, std::uint64_t size, Into& into);
  kj::Promise<void> fetch_into(std::uint64_t value, proto::ByteSink::Client sink);
  kj::Promise<void> open_session(proto::Slave::Client slave);
  /// Whether the program did not get there because the slave's store is too small for it.
  kj::Promise<void> find_unfit(proto::Slave::Client slave);
  /// Each heartbeat's answer says it.
  void learn_end(std::int64_t ends_at);
  void receive(proto::Update::Reader update);
  /// It does what no slave may: ends the connection. `why`: what it did.
  void break_off(const std::string& why);
  void lost(const std::string& why);
  void give_back_leaving(const std::string& why);

  LinkOwner& owner_;
  kj::AsyncIoContext& io_;
  Shipment* shipment_;
  InputFiles& input_files_;
  UploadLane lane_;
  /// Bytes that come or are taken count as much as the answer to a beat, which waits behind them.
  rpc::Heard heard_ = [this] { unanswered_beats_ = 0; };
  InputShipment inputs_{input_files_, lane_, heard_};
  SharedShipment shared_{lane_, [this](auto& blob) { return announce(blob); }, heard_};
  kj::Own<Connector> connector_;
  SlaveId id_;
  std::string name_;
  kj::Duration beat_;
  std::string last_error_;
  std::string unfit_;
  std::vector<std::string> cpu_flags_;
  bool up_ = false;
  std::uint32_t slots_ = 0;
  unsigned failures_ = 0;
  std::int64_t ends_at_ = 0;  ///< as the wire says it
  std::optional<Time> end_;

  kj::Maybe<proto::Slave::Client> slave_;
  kj::Maybe<proto::Session::Client> session_;
  std::uint64_t session_number_ = 0;
  kj::Maybe<proto::Store::Client> store_;
  std::uint32_t functions_sent_ = 0;
  std::uint64_t acknowledge_ = 0;
  std::size_t tasks_here_ = 0;
  std::size_t pending_ = 0;
  std::vector<capnp::Response<proto::Session::ExchangeResults>> answered_;  ///< see exchange
  std::uint32_t take_back_ = 0;
  bool listens_ = false;  ///< see `listen`
  bool take_back_asked_ = false;
  std::uint32_t given_back_ = 0;
  std::uint64_t cancel_grace_ = 0;
  std::vector<std::uint64_t> cancel_;
  std::vector<std::uint64_t> awaited_;
  /// A task that waits for what travels ahead of it.
  struct Leaving {
    kj::Own<kj::Canceler> canceler;
    std::shared_ptr<AttemptEnd> failure;  ///< how the attempt is to end if it does not leave
    detail::TaskRef task;
    bool awaited = false;
  };
  std::map<std::uint64_t, Leaving> leaving_;
  bool draining_ = false;
  bool told_unfit_ = false;
  bool told_full_ = false;  ///< the user knows that its store is full
  unsigned unanswered_beats_ = 0;
  std::vector<std::uint64_t> drop_values_;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> broken_;
  kj::Own<CallErrors> errors_;
  kj::Own<kj::TaskSet> calls_;
  kj::Promise<void> life_ = nullptr;
};

}  // namespace knee::driver
