#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "tests/sample_files.h"
#include "tests/system/harness/leak_check.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/tasks.h"

using namespace knee::test;
using namespace std::chrono_literals;
using Catch::Contains;
using knee::Error;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kMega = 1 << 20;

/// Calls `round(slave, folder)` and looks for what it has left.
template <class Round>
void with_a_slave(Round round) {
  SlaveProcess gandalf;
  const TemporaryFolder folder;
  const LeakCheck leaks({&gandalf});
  {
    knee::Cluster cluster(reaching(gandalf));
    round(cluster.slave("gandalf"), folder);
  }
  CHECK(leaks.found() == "");
}

/// A slave whose home folder is there.
SlaveProcess::Setup at_home(const TemporaryFolder& home) {
  return {.environment = {{"HOME", home.path()}}};
}

}  // namespace

TEST_CASE("files of a slave are written, read, listed, looked at and removed") {
  with_a_slave([](const knee::Slave& gandalf, const TemporaryFolder& folder) {
    const auto files = gandalf.files();
    files.make_folder(folder / "a/b");
    files.write(folder / "a/b/notes", "dark\nclear\n");
    CHECK(content_of(folder / "a/b/notes") == "dark\nclear\n");
    CHECK(files.read(folder / "a/b/notes") == "dark\nclear\n");
    const auto list = files.list(folder / "a/b");
    REQUIRE(list.size() == 1);
    CHECK(list[0].name == "notes");
    CHECK(list[0].size == 11);
    CHECK(files.status(folder / "a")->type == knee::FileStatus::Type::folder);
    CHECK_FALSE(files.status(folder / "c"));
    files.rename(folder / "a/b/notes", folder / "c");
    files.remove(folder / "c");
    CHECK_FALSE(fs::exists(folder / "c"));
  });
}

TEST_CASE("relative paths on a slave begin in the home folder of its user") {
  const TemporaryFolder home;
  SlaveProcess gandalf(at_home(home));
  knee::Cluster cluster(reaching(gandalf));
  const auto files = cluster.slave("gandalf").files();
  files.write("notes", "at home");
  CHECK(content_of(home / "notes") == "at home");
  CHECK(files.list("").size() == 1);
  CHECK(files.status("")->type == knee::FileStatus::Type::folder);
  CHECK(cluster.slave("gandalf").shell("cat notes").get().out == "at home");
}

TEST_CASE("names on a slave may be odd") {
  with_a_slave([](const knee::Slave& gandalf, const TemporaryFolder& folder) {
    const auto files = gandalf.files();
    const std::set<std::string> names{
        " ", "-rf", "a\nb", "\\", "'\"$(x)`", "\xff\xfe", "~", "*", std::string(255, 'n')};
    for (const auto& name : names) files.write(folder / name, name);
    std::set<std::string> seen;
    for (const auto& file : files.list(folder.path())) {
      seen.insert(file.name);
      CHECK(files.read(folder / file.name) == file.name);
    }
    CHECK(seen == names);
  });
}

TEST_CASE("a file of 40 MiB goes to a slave and back whole, with progress") {
  with_a_slave([](const knee::Slave& gandalf, const TemporaryFolder& folder) {
    const std::string content = noise(40 * kMega);
    put(folder / "here", content);
    ::chmod((folder / "here").c_str(), 0750);
    std::vector<knee::CopyProgress> seen;
    const knee::CopyOptions options{
        .progress = [&](const knee::CopyProgress& progress) { seen.push_back(progress); }};
    const auto files = gandalf.files();
    const auto up = files.upload(folder / "here", folder / "there", options);
    CHECK(up.files == 1);
    CHECK(up.bytes == content.size());
    REQUIRE(seen.size() > 20);
    CHECK(seen.front().done == 0);
    CHECK(seen.front().size == content.size());
    CHECK(seen.back().done == content.size());
    CHECK(std::is_sorted(seen.begin(), seen.end(),
                         [](const auto& a, const auto& b) { return a.done < b.done; }));
    CHECK(content_of(folder / "there") == content);
    CHECK(files.status(folder / "there")->mode == 0750);
    files.download(folder / "there", folder / "back", options);
    CHECK(content_of(folder / "back") == content);
    CHECK(fs::status(folder / "back").permissions() == fs::status(folder / "here").permissions());
  });
}

TEST_CASE("a copy whose slave is killed goes on when it is back, and only the rest travels") {
  SlaveProcess gandalf;
  const TemporaryFolder folder;
  const std::string content = noise(40 * kMega);
  put(folder / "from", content);
  knee::Cluster cluster(reaching(gandalf));
  const auto files = cluster.slave("gandalf").files();
  const auto copy = [&](bool up, const std::function<void(const knee::CopyProgress&)>& progress) {
    const knee::CopyOptions options{.progress = progress};
    return up ? files.upload(folder / "from", folder / "to", options)
              : files.download(folder / "from", folder / "to", options);
  };
  const bool up = GENERATE(true, false);
  bool killed = false;
  const auto error = error_out_of([&] {
    copy(up, [&](const knee::CopyProgress& progress) {
      if (progress.done < 10 * kMega || killed) return;
      gandalf.kill();
      killed = true;
    });
  });
  CHECK(error.kind() == Error::Kind::slave_lost);
  CHECK_THAT(error.what(), Contains("cannot copy '") && Contains("gandalf") &&
                               Contains(".to.knee-part") && Contains("copy again"));
  CHECK_FALSE(fs::exists(folder / "to"));
  const auto there = fs::file_size(folder / ".to.knee-part");
  CHECK(there >= 10 * kMega);
  gandalf.start();
  const auto report = copy(up, {});
  CHECK(report.resumed >= there);  // what was under way may have come there
  CHECK(report.bytes == content.size() - report.resumed);
  CHECK(report.bytes <= 30 * kMega);
  CHECK(content_of(folder / "to") == content);
}

TEST_CASE("a copy that its progress function ends can be gone on with at once") {
  with_a_slave([](const knee::Slave& gandalf, const TemporaryFolder& folder) {
    put(folder / "from", noise(20 * kMega));
    struct Stop {};
    const auto files = gandalf.files();
    CHECK_THROWS_AS(files.upload(folder / "from", folder / "to",
                                 {.progress =
                                      [](const knee::CopyProgress& progress) {
                                        if (progress.done >= 2 * kMega) throw Stop();
                                      }}),
                    Stop);
    const auto report = files.upload(folder / "from", folder / "to");
    CHECK(report.resumed >= 2 * kMega);
    CHECK(report.bytes + report.resumed == 20 * kMega);
    CHECK(content_of(folder / "to") == content_of(folder / "from"));
  });
}

TEST_CASE("a part whose source has changed meanwhile is noticed by its hash") {
  with_a_slave([](const knee::Slave& gandalf, const TemporaryFolder& folder) {
    std::string content = noise(8 * kMega);
    put(folder / "from", content);
    put(folder / ".to.knee-part", content.substr(0, 4 * kMega));
    content[100] ^= 1;
    put(folder / "from", content);
    CHECK(gandalf.files().upload(folder / "from", folder / "to").resumed == 0);
    CHECK(content_of(folder / "to") == content);
  });
}

TEST_CASE("a folder goes to a slave and back with all that is in it") {
  with_a_slave([](const knee::Slave& gandalf, const TemporaryFolder& folder) {
    fs::create_directories(folder / "tree/deep");
    put(folder / "tree/one", "1");
    put(folder / "tree/deep/empty", "");
    fs::create_symlink("../one", folder / "tree/deep/link");
    const auto files = gandalf.files();
    CHECK(files.upload(folder / "tree", folder / "there", {.recursive = true}).files == 3);
    CHECK(files.download(folder / "there", folder / "back", {.recursive = true}).files == 3);
    CHECK(content_of(folder / "back/deep/link") == "1");
    CHECK(fs::file_size(folder / "back/deep/empty") == 0);
  });
}

TEST_CASE("a file goes from one slave to another") {
  SlaveProcess gandalf({.name = "gandalf"});
  SlaveProcess frodo({.name = "frodo"});
  const TemporaryFolder folder;
  put(folder / "from", noise(3 * kMega));
  knee::Cluster cluster(reaching({&gandalf, &frodo}));
  cluster.slave("gandalf").files().copy(folder / "from", cluster.slave("frodo").files(),
                                        folder / "to");
  CHECK(content_of(folder / "to") == content_of(folder / "from"));
}

TEST_CASE("what cannot be done to a slave's files says what, where and why") {
  with_a_slave([](const knee::Slave& gandalf, const TemporaryFolder& folder) {
    const auto files = gandalf.files();
    const auto error = error_out_of([&] { (void)files.read(folder / "nothing"); });
    CHECK(error.kind() == Error::Kind::exception);
    CHECK(error.slave() == "gandalf");
    CHECK(std::string(error.what()) == "on slave gandalf: cannot open '" + (folder / "nothing") +
                                           "': No such file or directory");
    put(folder / "here", "x");
    CHECK_THAT(
        error_out_of([&] { files.upload(folder / "here", folder / "no/such/place"); }).what(),
        Contains("cannot copy") && Contains("gandalf:" + (folder / "no/such/place")) &&
            Contains("there is no folder '" + (folder / "no/such") + "' (make it first)"));
    CHECK_THAT(error_out_of([&] { files.download(folder / "nothing", folder / "x"); }).what(),
               Contains("gandalf:" + (folder / "nothing") + "': there is no such file"));
  });
}

TEST_CASE("what the slave's user may not read is refused in words") {
  SlaveProcess::Setup setup;
  // As where OpenSSL is not installed: looking for its settings must not hide why the file is
  // refused.
  setup.around = {"env", "OPENSSL_CONF=/no/such/file"};
  // Root may read everything, unless it gives that up.
  if (::geteuid() == 0)
    for (const auto* word : {"setpriv", "--bounding-set", "-dac_override,-dac_read_search"})
      setup.around.emplace_back(word);
  SlaveProcess gandalf(setup);
  const TemporaryFolder folder;
  put(folder / "secret", "x");
  ::chmod((folder / "secret").c_str(), 0);
  knee::Cluster cluster(reaching(gandalf));
  const auto files = cluster.slave("gandalf").files();
  CHECK_THAT(
      error_out_of([&] { files.download(folder / "secret", folder / "to"); }).what(),
      Contains("on slave gandalf: cannot open '" + (folder / "secret") + "': Permission denied") &&
          Contains("change the permissions"));
  CHECK_FALSE(fs::exists(folder / "to"));
}

TEST_CASE("a copy to a full disk says so, and goes on when there is room") {
  SlaveProcess gandalf;
  const TemporaryFolder folder;
  fs::create_directory(folder / "small");
  if (::mount("none", (folder / "small").c_str(), "tmpfs", 0, "size=6m") != 0) {
    WARN("skipped: no file system can be mounted here");
    return;
  }
  const auto unmount = [](const std::string* path) { ::umount2(path->c_str(), MNT_DETACH); };
  const std::string place = folder / "small";
  const std::unique_ptr<const std::string, decltype(unmount)> mounted(&place, unmount);
  put(folder / "small/other", noise(4 * kMega));
  put(folder / "from", noise(5 * kMega));
  knee::Cluster cluster(reaching(gandalf));
  const auto files = cluster.slave("gandalf").files();
  const auto error = error_out_of([&] { files.upload(folder / "from", folder / "small/to"); });
  CHECK_THAT(error.what(), Contains("on slave gandalf: cannot write") &&
                               Contains("No space left on device (make room") &&
                               Contains("copy again"));
  files.remove(folder / "small/other");
  CHECK(files.upload(folder / "from", folder / "small/to").resumed > 0);
  CHECK(content_of(folder / "small/to") == content_of(folder / "from"));
}

TEST_CASE("a remote file may be of more than 4 GiB") {
  constexpr std::uint64_t kFar = std::uint64_t{5} << 30;
  with_a_slave([](const knee::Slave& gandalf, const TemporaryFolder& folder) {
    const auto file = gandalf.files().open(folder / "sparse", knee::OpenMode::update);
    file.write(kFar, "far away");
    CHECK(file.size() == kFar + 8);
    CHECK(file.read(kFar, 100) == "far away");
    CHECK(file.read(kFar - 2, 5) == std::string("\0\0far", 5));
    CHECK(file.read(kFar + 8, 100).empty());
    CHECK(file.read(kFar - (std::uint64_t{4} << 30), 3) == std::string(3, '\0'));
    CHECK(gandalf.files().status(folder / "sparse")->size == kFar + 8);
    CHECK(fs::file_size(folder / "sparse") == kFar + 8);
    file.resize(kFar + 3);
    CHECK(gandalf.files().list(folder.path()).front().size == kFar + 3);
    knee::RemoteStream stream(file);
    stream.seekg(static_cast<std::streamoff>(kFar));
    CHECK(stream.get() == 'f');
  });
}

TEST_CASE("a stream over a remote file goes wherever an istream goes") {
  with_a_slave([](const knee::Slave& gandalf, const TemporaryFolder& folder) {
    const int many = 200'000;
    {
      knee::RemoteStream out(gandalf.files().open(folder / "lines", knee::OpenMode::write));
      for (int i = 0; i < many; ++i) out << "line " << i << '\n';
      out.close();
    }
    knee::RemoteStream in(gandalf.files().open(folder / "lines"));
    int count = 0;
    for (std::string line; std::getline(in, line); ++count)
      if (line != "line " + std::to_string(count)) FAIL("line " << count << " is '" << line << "'");
    CHECK(count == many);
    in.clear();
    in.seekg(0);
    std::string word;
    int number = -1;
    in >> word >> number;
    CHECK(word == "line");
    CHECK(number == 0);
  });
}

TEST_CASE("a stream whose slave is killed goes bad and says why") {
  SlaveProcess gandalf;
  const TemporaryFolder folder;
  put(folder / "large", std::string(30 * kMega, 'x'));
  knee::Cluster cluster(reaching(gandalf));
  knee::RemoteStream in(cluster.slave("gandalf").files().open(folder / "large"));
  CHECK(in.get() == 'x');
  gandalf.kill();
  std::string word;
  in >> word;
  CHECK(word.size() < 30 * kMega);
  CHECK(in.bad());
  CHECK_THAT(in.error(), Contains("gandalf"));
}

TEST_CASE("when the process that serves files dies the next call starts another") {
  SlaveProcess gandalf;
  const TemporaryFolder folder;
  const LeakCheck leaks({&gandalf});
  {
    knee::Cluster cluster(reaching(gandalf));
    const auto files = cluster.slave("gandalf").files();
    files.write(folder / "x", "1");
    const auto workers = gandalf.workers();
    REQUIRE(workers.size() == 1);
    ::kill(workers.front(), SIGKILL);
    // One that was under way may see it; the file that was open then is gone with it.
    CHECK(wait_until([&] {
      try {
        return files.read(folder / "x") == "1" && gandalf.workers() != workers;
      } catch (const Error& error) {
        CHECK_THAT(error.what(),
                   Contains("the file service on slave gandalf") && Contains("SIGKILL"));
        return false;
      }
    }));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("files do not wait for a long call on an object of the same slave") {
  SlaveProcess gandalf;
  const TemporaryFolder folder;
  knee::Cluster cluster(reaching(gandalf));
  struct Sleeper {
    void sleep(std::string started) { hang(std::move(started)); }
  };
  const auto sleeper = cluster.slave("gandalf").make<Sleeper>();
  auto asleep = sleeper.call<&Sleeper::sleep>(folder / "started");
  wait_for_marks(folder / "started");
  CHECK(cluster.slave("gandalf").files().list(folder.path()).size() == 1);
  CHECK_FALSE(cluster.slave("gandalf").env().empty());
  CHECK_FALSE(asleep.ready());
}

TEST_CASE("the process that serves files ends with the last that uses it") {
  SlaveProcess gandalf;
  const TemporaryFolder folder;
  put(folder / "x", "content");
  const LeakCheck leaks({&gandalf});
  {
    knee::Cluster cluster(reaching(gandalf));
    {
      const auto file = cluster.slave("gandalf").files().open(folder / "x");
      CHECK(file.read(0, 3) == "con");
      CHECK(gandalf.workers().size() == 1);
    }
    // What was dropped is told with what is sent next.
    (void)cluster.slaves();
    CHECK(wait_until([&] { return gandalf.family().empty(); }));
  }
  CHECK(leaks.found() == "");
}

TEST_CASE("files of a name that no slave has are refused with the names there are") {
  SlaveProcess gandalf;
  knee::Cluster cluster(reaching(gandalf));
  const auto error = error_out_of([&] { (void)cluster.slave("frodo").files().list("/"); });
  CHECK(error.kind() == Error::Kind::setup);
  CHECK_THAT(error.what(),
             Contains("the file service cannot run") && Contains("'frodo'") && Contains("gandalf"));
}

TEST_CASE("a slave's environment is that of its workers") {
  SlaveProcess gandalf({.environment = {{"KNEE_TEST_OF_SLAVE", "a=b"}}});
  auto options = reaching(gandalf);
  options.environment = {"KNEE_TEST_OF_DRIVER=c"};
  knee::Cluster cluster(options);
  const auto environment = cluster.slave("gandalf").env();
  CHECK(environment.at("KNEE_TEST_OF_SLAVE") == "a=b");
  CHECK(environment.at("KNEE_TEST_OF_DRIVER") == "c");
  CHECK_FALSE(environment.contains("KNEE_TEST_OF_NOBODY"));
}

TEST_CASE("a line of shell runs there once and gives its output and its exit code") {
  with_a_slave([](const knee::Slave& gandalf, const TemporaryFolder&) {
    const auto result = gandalf.shell("echo \"$((6 * 7))\" 'a  b'; echo err >&2; exit 3").get();
    CHECK(result.exit_code == 3);
    CHECK(result.out == "42 a  b\n");
    CHECK(result.err == "err\n");
    CHECK(result.slave == "gandalf");
    CHECK(gandalf.shell("if").get().exit_code == 2);
  });
}

TEST_CASE("a slave tells what it and its machine are, or throws why it cannot") {
  SlaveProcess gandalf;
  {
    knee::Cluster cluster(reaching(gandalf));
    const auto info = cluster.slave("gandalf").info();
    CHECK(info.slots == 2);
    CHECK(info.cores >= 1);
    CHECK(info.memory_total > 0);
    CHECK_THAT(info.kernel, Catch::StartsWith("Linux "));
    CHECK_FALSE(info.host.empty());
    CHECK(info.load >= 0);
    CHECK_FALSE(info.version.empty());
    CHECK(info.system.empty() == !fs::exists("/etc/os-release"));
  }
  gandalf.kill();
  knee::Cluster cluster(reaching(gandalf));
  const auto address = gandalf.address();
  const auto error = error_out_of([&] { (void)cluster.slave(address).info(5s); });
  CHECK(error.kind() == Error::Kind::slave_lost);
  CHECK_THAT(error.what(), Contains("cannot reach slave"));
}
