#include "slave_server.h"

#include <kj/debug.h>
#include <sys/utsname.h>

#include <algorithm>
#include <iostream>
#include <stdexcept>

#include "common/program/cpu_flags.h"
#include "common/rpc/connection.h"
#include "slave/machine.h"
#include "slave/store_server.h"

namespace knee::slave {
namespace {

/// The session's server with its entry in the slave's list.
class ListedSession {
 public:
  ListedSession(SlaveState& state, Session& session) : state_(state), session_(session) {
    state_.sessions.insert(&session_);
  }
  ListedSession(const ListedSession&) = delete;
  ~ListedSession() {
    state_.sessions.erase(&session_);
    state_.last_used = std::chrono::steady_clock::now();
  }

 private:
  SlaveState& state_;
  Session& session_;
};

/// What a stranger calls itself goes to the log, which may be a terminal.
std::string printable(capnp::Text::Reader text) {
  std::string result(text.cStr(), std::min<std::size_t>(text.size(), 200));
  for (char& c : result)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) c = '.';
  return result;
}

std::string architecture() {
  utsname names{};
  ::uname(&names);
  return names.machine;
}

std::vector<std::string> texts(capnp::List<capnp::Text>::Reader list) {
  std::vector<std::string> result;
  for (const auto text : list) result.emplace_back(text.cStr(), text.size());
  return result;
}

std::vector<AnnouncedFile> files_for_here(proto::SessionRequest::Reader request) {
  const std::string here = architecture();
  std::vector<AnnouncedFile> files;
  for (const auto variant : request.getVariants()) {
    if (variant.getArchitecture() != here.c_str()) continue;
    return announced_files(variant);
  }
  if (request.getVariants().size() != 0)
    throw std::runtime_error("the program is not built for this slave's architecture, " + here);
  return files;
}

}  // namespace

void fill_hello(proto::Hello::Builder hello, const SlaveState& state) {
  rpc::describe_build(hello);
  hello.setRole(proto::Hello::Role::SLAVE);
  hello.setName(state.context.name);
  const auto flags = program::cpu_flags();
  auto list = hello.initCpuFlags(static_cast<unsigned>(flags.size()));
  for (unsigned i = 0; i < list.size(); ++i) list.set(i, flags[i]);
}

kj::Promise<void> DoorServer::hello(HelloContext context) {
  KJ_REQUIRE(!std::exchange(*greeted_, true), "hello was said before on this connection");
  const auto theirs = context.getParams().getHello();
  auto results = context.getResults();
  fill_hello(results.initHello(), state_);
  if (const auto refusal = rpc::refusal_of(theirs); !refusal.empty()) {
    results.getHello().setRefusal(refusal);
    std::cerr << "knee-slave: refused " + printable(theirs.getName()) + ": " + refusal + "\n";
    return kj::READY_NOW;
  }
  results.setSlave(kj::heap<SlaveServer>(state_, theirs.getIdentity().cStr()));
  return kj::READY_NOW;
}

kj::Promise<void> SlaveServer::describe(DescribeContext context) {
  auto description = context.getResults().initDescription();
  description.setName(state_.context.name);
  description.setArchitecture(architecture());
  description.setHost(host_name());
  static const std::string system = system_name();
  description.setSystem(system);
  description.setKernel(kernel_name());
  description.setCores(usable_cores());
  description.setSlots(state_.context.slots.slots());
  description.setSlotsBusy(state_.context.slots.busy());
  description.setSessions(static_cast<std::uint32_t>(state_.sessions.size()));
  const Memory machine = memory();
  description.setMemoryTotal(machine.total);
  description.setMemoryAvailable(machine.available);
  description.setLoad(load());
  description.setVersion(KNEE_VERSION);
  description.setUpTime(static_cast<std::uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - state_.started).count()));
  description.setDraining(state_.draining);
  description.setOwnMemory(own_memory());
  description.setStoreBytes(state_.traffic.stored);
  description.setStoreReceived(state_.traffic.received);
  description.setStoreLimit(state_.store.size_limit());
  description.setEndsAt(state_.ends_at);
  return kj::READY_NOW;
}

kj::Promise<void> SlaveServer::store(StoreContext context) {
  context.getResults().setStore(kj::heap<StoreServer>(state_.disk, state_.store, state_.traffic));
  return kj::READY_NOW;
}

void SlaveServer::refuse_if_draining() const {
  KJ_REQUIRE(!state_.draining, "the slave is draining and takes no new sessions");
}

kj::Promise<void> SlaveServer::openSession(OpenSessionContext context) {
  refuse_if_draining();
  const auto request = context.getParams().getRequest();
  auto files = files_for_here(request);
  auto prepared =
      files.empty() ? kj::Promise<std::shared_ptr<PreparedProgram>>(
                          std::shared_ptr<PreparedProgram>())  // nullptr would be no promise at all
                    : state_.disk.run([this, files = std::move(files)] {
                        return prepare_program(state_.store, files);
                      });
  return prepared.then([this, context](std::shared_ptr<PreparedProgram> program) mutable {
    refuse_if_draining();  // nobody would tell a session that was not there when it began
    const auto asked = context.getParams().getRequest();
    std::optional<WorkerProgram> worker;
    if (program)
      worker = worker_program(*program, texts(asked.getArguments()), texts(asked.getEnvironment()));
    auto server = kj::heap<SessionServer>(state_.context, state_.disk, state_.store, identity_,
                                          asked.getLimits().getSlots(), std::move(program),
                                          std::move(worker), texts(asked.getEnvironment()));
    auto listed = kj::heap<ListedSession>(state_, server->session());
    context.getResults().setSession(kj::Own<proto::Session::Server>(server.attach(kj::mv(listed))));
  });
}

}  // namespace knee::slave
