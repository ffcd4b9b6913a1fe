#include "client/driver/slave_link.h"

#include <kj/async-io.h>
#include <catch2/catch.hpp>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/channel/layout.h"
#include "tests/client/driver/task_fixture.h"

using namespace knee;
using namespace knee::driver;
using detail::Access;
using detail::TaskRef;

namespace {

constexpr std::size_t kMiB = 1024 * 1024;
using Ids = std::vector<std::uint64_t>;

/// What a slave in this process has seen, and how it is to behave.
struct SlaveFacts {
  Ids tasks;                       ///< in the order in which they came
  Ids values_begun;                ///< ids of arguments that are or were on their way
  std::set<std::uint64_t> values;  ///< those that are there
  std::map<std::uint64_t, std::uint64_t> cancelled;  ///< with what grace
  int blobs_begun = 0;
  int blobs_to_fail = 0;  ///< so many of the next ones are not stored
  bool full = false;      ///< the store has no room for another
  int blobs = 0;
  int announced = 0;
  bool open = false;  ///< values are taken in; else they stop at their first byte
  /// Exchanges that wait to be answered with the id of a task that ended.
  std::vector<kj::Own<kj::PromiseFulfiller<std::uint64_t>>> exchanges;
  kj::Maybe<proto::ByteSink::Client> result_sink;  ///< of a result that was asked for
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> result_sent;

  /// Some bytes of the result. Whether the driver took them.
  bool send_result(const std::string& bytes, kj::WaitScope& scope) {
    auto write = KJ_ASSERT_NONNULL(result_sink).writeRequest();
    write.setBytes({reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()});
    return write.send()
        .then([] { return true; }, [](kj::Exception&&) { return false; })
        .wait(scope);
  }
  void end_result() { KJ_ASSERT_NONNULL(result_sent)->fulfill(); }
  std::vector<kj::Own<kj::PromiseFulfiller<void>>> stopped;

  void let_in() {
    open = true;
    for (auto& write : stopped) write->fulfill();
    stopped.clear();
  }
};

class FakeSink final : public proto::ByteSink::Server {
 public:
  FakeSink(SlaveFacts& facts, kj::Function<kj::Promise<void>()> done)
      : facts_(facts), done_(kj::mv(done)) {}
  kj::Promise<void> write(WriteContext) override {
    if (facts_.open) return kj::READY_NOW;
    auto paf = kj::newPromiseAndFulfiller<void>();
    facts_.stopped.push_back(kj::mv(paf.fulfiller));
    return kj::mv(paf.promise);
  }
  kj::Promise<void> done(DoneContext) override { return done_(); }

 private:
  SlaveFacts& facts_;
  kj::Function<kj::Promise<void>()> done_;
};

class FakeStore final : public proto::Store::Server {
 public:
  explicit FakeStore(SlaveFacts& facts) : facts_(facts) {}
  kj::Promise<void> lacking(LackingContext context) override {
    if (facts_.blobs == 0) context.getResults().setDigests(context.getParams().getDigests());
    return kj::READY_NOW;
  }
  kj::Promise<void> put(PutContext context) override {
    if (facts_.full) return KJ_EXCEPTION(OVERLOADED, "all of it is in use");
    ++facts_.blobs_begun;
    auto done = [this]() -> kj::Promise<void> {
      if (facts_.blobs_to_fail != 0) {
        --facts_.blobs_to_fail;
        return KJ_EXCEPTION(FAILED, "the disk is full");
      }
      ++facts_.blobs;
      return kj::READY_NOW;
    };
    context.getResults().setSink(kj::heap<FakeSink>(facts_, kj::mv(done)));
    return kj::READY_NOW;
  }

 private:
  SlaveFacts& facts_;
};

class FakeSession final : public proto::Session::Server {
 public:
  explicit FakeSession(SlaveFacts& facts) : facts_(facts) {}
  kj::Promise<void> exchange(ExchangeContext context) override {
    const auto work = context.getParams().getWork();
    facts_.announced += static_cast<int>(work.getShared().size());
    for (const auto task : work.getTasks()) facts_.tasks.push_back(task.getId());
    for (const auto id : work.getCancel()) facts_.cancelled[id] = work.getCancelGrace();
    const bool answer = !std::exchange(greeted_, true) || work.getShared().size() != 0;
    if (!answer) {
      auto paf = kj::newPromiseAndFulfiller<std::uint64_t>();
      facts_.exchanges.push_back(kj::mv(paf.fulfiller));
      return paf.promise.then([context](std::uint64_t id) mutable {
        context.getResults().initUpdate().initOutcomes(1)[0].setId(id);
      });
    }
    context.getResults().initUpdate().setSlots(4);
    return kj::READY_NOW;
  }
  kj::Promise<void> putValue(PutValueContext context) override {
    const auto id = context.getParams().getId();
    facts_.values_begun.push_back(id);
    auto done = [this, id]() -> kj::Promise<void> {
      facts_.values.insert(id);
      return kj::READY_NOW;
    };
    context.getResults().setSink(kj::heap<FakeSink>(facts_, kj::mv(done)));
    return kj::READY_NOW;
  }
  kj::Promise<void> getValue(GetValueContext context) override {
    facts_.result_sink = context.getParams().getSink();
    auto paf = kj::newPromiseAndFulfiller<void>();
    facts_.result_sent = kj::mv(paf.fulfiller);
    return kj::mv(paf.promise);
  }

 private:
  SlaveFacts& facts_;
  bool greeted_ = false;
};

class FakeSlave final : public proto::Slave::Server {
 public:
  explicit FakeSlave(SlaveFacts& facts) : facts_(facts) {}
  kj::Promise<void> describe(DescribeContext) override { return kj::READY_NOW; }
  kj::Promise<void> store(StoreContext context) override {
    context.getResults().setStore(kj::heap<FakeStore>(facts_));
    return kj::READY_NOW;
  }
  kj::Promise<void> openSession(OpenSessionContext context) override {
    context.getResults().setSession(kj::heap<FakeSession>(facts_));
    return kj::READY_NOW;
  }

 private:
  SlaveFacts& facts_;
};

class FakeConnector final : public Connector {
 public:
  FakeConnector(SlaveFacts& facts, kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>>& hang_up)
      : facts_(facts), hang_up_(hang_up) {}
  kj::Promise<Connected> connect() override {
    auto paf = kj::newPromiseAndFulfiller<void>();
    hang_up_ = kj::mv(paf.fulfiller);
    return Connected{kj::heap<FakeSlave>(facts_), "fake", kj::Own<rpc::Connection>(),
                     kj::mv(paf.promise)};
  }
  std::string target() const override { return "fake"; }

 private:
  SlaveFacts& facts_;
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>>& hang_up_;
};

/// What the link has told.
struct Owner final : LinkOwner {
  void link_named(SlaveLink&, const std::string&) override {}
  void link_up(SlaveLink&, std::uint32_t) override { ++ups; }
  void link_down(SlaveLink&, const std::string&) override { ++downs; }
  void outcome(SlaveLink&, proto::Outcome::Reader outcome) override {
    outcomes.push_back(outcome.getId());
  }
  void started(SlaveLink&, proto::Started::Reader) override {}
  void printed(SlaveLink&, proto::OutputText::Reader) override {}
  void take_back_answered(SlaveLink&, std::uint32_t) override {}
  void note(SlaveLink&, const std::string& text) override { notes.push_back(text); }
  void delayed(SlaveLink&, std::uint64_t) override {}
  void left(SlaveLink&, std::uint64_t) override {}
  void unsent(SlaveLink&, detail::TaskState& task, AttemptEnd end,
              const std::string& why) override {
    unsent_tasks[task.id] = {end, why};
  }
  void link_progressed(SlaveLink&) override {}
  bool may_receive(SlaveLink&) override { return true; }
  kj::Vector<proto::Object::Client> lend(detail::TaskState&) override { return {}; }
  void fill_session(proto::SessionRequest::Builder) override {}

  struct Unsent {
    AttemptEnd end;
    std::string why;
  };
  int ups = 0;
  int downs = 0;
  Ids outcomes;
  std::vector<std::string> notes;
  std::map<std::uint64_t, Unsent> unsent_tasks;
};

/// A link to a slave that is only played, on this thread. No byte leaves the process, and `settle`
/// does all there is to do.
struct Place {
  Place() {
    link.start();
    settle();
    REQUIRE(owner.ups >= 1);
  }
  void settle() { io.waitScope.poll(); }

  TaskRef task(std::uint64_t id, std::size_t bytes) {
    auto one = tasks.task(false);
    one->id = id;
    Access::payload(*one).append(std::string(bytes, 'x').data(), bytes);
    return one;
  }
  void send(const TaskRef& task) {
    auto* one = task.get();
    link.send({&one, 1});
    settle();
  }

  test::TaskFixture tasks;
  boost::asio::thread_pool disk{1};
  kj::AsyncIoContext io = kj::setupAsyncIo();
  SlaveFacts facts;
  Owner owner;
  InputFiles inputs{disk};
  kj::Maybe<kj::Own<kj::PromiseFulfiller<void>>> hang_up;
  SlaveLink link{
      owner,      io,     nullptr,        inputs, kj::heap<FakeConnector>(facts, hang_up),
      SlaveId{0}, "fake", 2 * kj::SECONDS};
};

detail::SharedBlobRef shared_value(std::size_t bytes) {
  auto blob = std::make_shared<detail::SharedBlob>();
  blob->bytes.append(std::string(bytes, 's').data(), bytes);
  return blob;
}

}  // namespace

TEST_CASE("a small task leaves at once while large arguments leave one after the other") {
  Place place;
  std::vector<TaskRef> large;
  for (std::uint64_t id = 1; id <= 5; ++id)
    place.send(large.emplace_back(place.task(id, 8 * kMiB)));
  CHECK(place.facts.values_begun == Ids{1});
  const auto small = place.task(99, 10);
  place.send(small);
  CHECK(place.facts.tasks == Ids{99});
  CHECK(place.facts.values_begun == Ids{1});
  place.facts.let_in();
  place.settle();
  CHECK(place.facts.values_begun == Ids{1, 2, 3, 4, 5});
  CHECK(place.facts.tasks == Ids{99, 1, 2, 3, 4, 5});
}

TEST_CASE("arguments that are not that large leave together") {
  Place place;
  std::vector<TaskRef> some;
  for (std::uint64_t id = 1; id <= 3; ++id)
    place.send(some.emplace_back(place.task(id, 2 * channel::kMaxInline)));
  CHECK(place.facts.values_begun == Ids{1, 2, 3});
}

TEST_CASE("a cancelled upload, or one that only waits, lets the next one go") {
  Place place;
  std::vector<TaskRef> large;
  for (std::uint64_t id = 1; id <= 4; ++id)
    place.send(large.emplace_back(place.task(id, 8 * kMiB)));
  place.link.cancel(2, 0);
  place.settle();
  CHECK(place.facts.values_begun == Ids{1});
  place.link.cancel(1, 0);
  place.settle();
  CHECK(place.facts.values_begun == Ids{1, 3});
  CHECK(place.owner.unsent_tasks.at(1).end == AttemptEnd::cancelled);
  CHECK(place.owner.unsent_tasks.at(2).end == AttemptEnd::cancelled);
  place.facts.let_in();
  place.settle();
  CHECK(place.facts.tasks == Ids{3, 4});
}

TEST_CASE("each cancelled task has its own grace") {
  Place place;
  std::vector<TaskRef> some;
  for (std::uint64_t id = 1; id <= 3; ++id) place.send(some.emplace_back(place.task(id, 10)));
  place.link.cancel(1, 5000);
  place.link.cancel(2, 5000);
  place.link.cancel(3, 0);
  place.link.pump();
  place.settle();
  CHECK(place.facts.cancelled ==
        std::map<std::uint64_t, std::uint64_t>{{1, 5000}, {2, 5000}, {3, 0}});
}

TEST_CASE("when the slave goes, all that waits to be sent comes back") {
  Place place;
  std::vector<TaskRef> large;
  for (std::uint64_t id = 1; id <= 3; ++id)
    place.send(large.emplace_back(place.task(id, 8 * kMiB)));
  const auto user = place.task(4, 10);
  Access::shared(*user).push_back(shared_value(8 * kMiB));
  place.send(user);
  KJ_IF_MAYBE (fulfiller, place.hang_up) (*fulfiller)->fulfill();
  place.settle();
  CHECK(place.owner.downs == 1);
  CHECK(place.owner.unsent_tasks.size() == 4);
  for (const auto& [id, unsent] : place.owner.unsent_tasks)
    CHECK(unsent.end == AttemptEnd::given_back);
}

TEST_CASE("a slave that ends a task before its argument is there is dropped") {
  Place place;
  const auto small = place.task(1, 10);
  const auto large = place.task(2, 8 * kMiB);
  place.send(small);
  place.send(large);
  place.facts.exchanges.front()->fulfill(2);
  place.settle();
  CHECK(place.owner.outcomes.empty());
  CHECK(place.owner.downs == 1);
  CHECK(place.owner.unsent_tasks.at(2).end == AttemptEnd::given_back);
  CHECK(place.link.last_error() == "cannot use fake: the slave ended a task that it had not got");
}

TEST_CASE("a shared value whose upload failed is sent again for the next task that needs it") {
  Place place;
  place.facts.open = true;
  place.facts.blobs_to_fail = 1;
  const auto value = shared_value(8 * kMiB);
  const auto user = [&](std::uint64_t id) {
    auto task = place.task(id, 10);
    Access::shared(*task).push_back(value);
    return task;
  };
  const auto first = user(1);
  place.send(first);
  CHECK(place.facts.tasks.empty());
  CHECK(place.owner.unsent_tasks.at(1).end == AttemptEnd::crashed);
  CHECK_THAT(place.owner.unsent_tasks.at(1).why, Catch::Contains("the disk is full"));

  const auto second = user(2);
  place.send(second);
  CHECK(place.facts.blobs_begun == 2);
  CHECK(place.facts.tasks == Ids{2});
  const auto third = user(3);
  place.send(third);
  CHECK(place.facts.blobs_begun == 2);
  CHECK(place.facts.announced == 1);
  CHECK(place.facts.tasks == Ids{2, 3});
}

TEST_CASE("an upload that finds no room waits while tasks are there that may make some") {
  Place place;
  place.facts.open = place.facts.full = true;
  const auto small = place.task(1, 10);
  place.send(small);
  const auto value = shared_value(8 * kMiB);
  std::vector<TaskRef> users;
  for (std::uint64_t id = 2; id <= 3; ++id) {
    auto& user = users.emplace_back(place.task(id, 10));
    Access::shared(*user).push_back(value);
    place.send(user);
  }
  CHECK(place.facts.tasks == Ids{1});
  CHECK(place.owner.unsent_tasks.empty());
  CHECK(place.owner.notes.size() == 1);
  CHECK_THAT(place.owner.notes.at(0), Catch::Contains("in use") && Catch::Contains("waiting"));
  place.facts.full = false;
  for (int i = 0; i < 1000 && place.facts.tasks.size() < 3; ++i)
    place.io.provider->getTimer().afterDelay(10 * kj::MILLISECONDS).wait(place.io.waitScope);
  // Each asks again by itself: their order is not promised.
  CHECK(std::set(place.facts.tasks.begin(), place.facts.tasks.end()) ==
        std::set<std::uint64_t>{1, 2, 3});
  CHECK(place.facts.tasks.size() == 3);
  CHECK(place.facts.blobs_begun == 1);
}

TEST_CASE("an argument leaves when what else its task needs is there") {
  Place place;
  place.facts.open = place.facts.full = true;
  const auto small = place.task(1, 10);
  place.send(small);
  const auto task = place.task(2, 2 * channel::kMaxInline);
  Access::shared(*task).push_back(shared_value(8 * kMiB));
  place.send(task);
  CHECK(place.owner.notes.size() == 1);
  CHECK(place.facts.values_begun.empty());
  place.facts.full = false;
  for (int i = 0; i < 1000 && place.facts.tasks.size() < 2; ++i)
    place.io.provider->getTimer().afterDelay(10 * kj::MILLISECONDS).wait(place.io.waitScope);
  CHECK(place.facts.values_begun == Ids{2});
  CHECK(place.facts.tasks == Ids{1, 2});
}

TEST_CASE("a shared value that nobody waits for any more may fail") {
  Place place;
  place.facts.blobs_to_fail = 1;
  const auto task = place.task(1, 10);
  Access::shared(*task).push_back(shared_value(8 * kMiB));
  place.send(task);
  CHECK(place.facts.blobs_begun == 1);
  place.link.cancel(1, 0);
  place.facts.let_in();
  place.settle();
  CHECK(place.facts.blobs_to_fail == 0);
  CHECK(place.owner.unsent_tasks.at(1).end == AttemptEnd::cancelled);
}

TEST_CASE("a result that ends early is no result, and what comes after its end is refused") {
  Place place;
  std::string into;
  auto fetched = place.link.fetch(7, 10, into);
  place.settle();
  CHECK(place.facts.send_result("123456789", place.io.waitScope));
  place.facts.end_result();
  CHECK_THROWS_WITH(fetched.wait(place.io.waitScope), Catch::Contains("shorter than was said"));
  CHECK_FALSE(place.facts.send_result("0", place.io.waitScope));
  CHECK(into == "123456789");
}

TEST_CASE("a result that is longer than was said is refused") {
  Place place;
  std::string into;
  auto fetched = place.link.fetch(7, 3, into);
  place.settle();
  CHECK(place.facts.send_result("12", place.io.waitScope));
  CHECK_FALSE(place.facts.send_result("34", place.io.waitScope));
  place.facts.end_result();
  CHECK_THROWS(fetched.wait(place.io.waitScope));
  CHECK(into == "12");
}

TEST_CASE("nothing is written for a fetch that was given up") {
  Place place;
  auto into = std::make_unique<std::string>();
  {
    auto fetched = place.link.fetch(7, 10, *into);
    place.settle();
  }
  into.reset();
  CHECK_FALSE(place.facts.send_result("123", place.io.waitScope));
}
