#include <knee/knee.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "cli/table.h"
#include "tests/cli/tool_process.h"
#include "tests/system/harness/marks.h"
#include "tests/system/harness/process_view.h"
#include "tests/system/harness/terminal.h"
#include "tests/system/harness/slave_process.h"

using namespace knee::test;
using Catch::Contains;
using Catch::Matches;

namespace {

std::vector<std::string> split(const std::string& line, const std::string& separator) {
  std::vector<std::string> cells;
  for (std::size_t begin = 0; begin <= line.size();) {
    const auto end = std::min(line.find(separator, begin), line.size());
    cells.push_back(line.substr(begin, end - begin));
    begin = std::min(line.find_first_not_of(separator, end), line.size() + 1);
  }
  return cells;
}

using Row = std::map<std::string, std::string>;

/// The lines of a table below that of its heads, each cell under its column's head. A line with
/// fewer cells is not of the table.
std::vector<Row> rows_of(const std::string& table, const std::string& separator = "  ") {
  std::istringstream lines(table);
  std::string line;
  std::getline(lines, line);
  const auto heads = split(line, separator);
  std::vector<Row> rows;
  while (std::getline(lines, line)) {
    const auto cells = split(line, separator);
    if (cells.size() != heads.size()) continue;
    Row row;
    for (std::size_t i = 0; i < heads.size(); ++i) row[heads[i]] = cells[i];
    rows.push_back(std::move(row));
  }
  return rows;
}

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

TEST_CASE("knee slaves lists those that answer and why the others do not") {
  SlaveProcess slave;
  const std::string lost = "unix:" + slave.folder() + "/nothing.sock";
  Tool text({"slaves", "--slaves", slave.address() + "," + lost});
  CHECK(text.wait() == 1);
  CHECK_THAT(text.out(), Contains("NAME") && Contains("gandalf") && Contains("unreachable") &&
                             Contains("No such file"));
  Tool json({"slaves", "--json", "--slaves", slave.address()});
  CHECK(json.wait() == 0);
  const auto list = boost::json::parse(json.out()).as_array();
  REQUIRE(list.size() == 1);
  CHECK(list[0].at("name") == "gandalf");
  CHECK(list[0].at("address") == slave.address().c_str());
  CHECK(list[0].at("slots").to_number<int>() == 2);
  CHECK(list[0].at("cores").to_number<unsigned>() >= 1);
  CHECK(list[0].at("cores").to_number<unsigned>() <= std::thread::hardware_concurrency());
  CHECK(list[0].at("memory_total").to_number<std::uint64_t>() > 1'000'000);
  CHECK(list[0].at("memory_available").to_number<std::uint64_t>() <=
        list[0].at("memory_total").to_number<std::uint64_t>());
  CHECK(list[0].at("load").to_number<double>() >= 0);
  Tool version({"--version"});
  CHECK(version.wait() == 0);
  CHECK_THAT(version.out(), Contains(list[0].at("version").as_string().c_str()));
  CHECK(list[0].at("round_trip_s").as_double() > 0);

  // The table says the same.
  const auto rows = rows_of(text.out());
  REQUIRE(rows.size() == 2);
  const auto& row = rows[0];
  CHECK(row.at("NAME") == "gandalf");
  CHECK(row.at("ADDRESS") == slave.address());
  CHECK(row.at("CORES") == std::to_string(list[0].at("cores").to_number<unsigned>()));
  CHECK(row.at("SLOTS") == "2");
  CHECK(row.at("BUSY") == "0");
  CHECK(row.at("MEMORY") == knee::cli::size_text(list[0].at("memory_total").to_number<double>()));
  CHECK_THAT(row.at("FREE"), Matches("[0-9.]+ [kMGT]B"));
  CHECK_THAT(row.at("LOAD"), Matches("[0-9]+\\.[0-9][0-9]"));
  CHECK(row.at("VERSION") == list[0].at("version").as_string().c_str());
  CHECK_THAT(row.at("ROUND TRIP"), Matches("[0-9.]+ [num]?s"));
  CHECK(rows[1].at("ADDRESS") == lost);
  CHECK(rows[1].at("CORES") == "-");
  CHECK(rows[1].at("ROUND TRIP") == "unreachable");
}

TEST_CASE("knee slaves shows how many slots are busy") {
  SlaveProcess slave;
  Tool busy(slave, {"run", "-n", "--", "sh", "-c", "echo runs; exec sleep 1000"});
  busy.wait_for_out("runs");
  Tool text(slave, {"slaves"});
  CHECK(text.wait() == 0);
  CHECK(rows_of(text.out()).at(0).at("BUSY") == "1");
}

TEST_CASE("knee run passes input, output and exit code through") {
  SlaveProcess slave;
  Script script(slave, "printf 'b\\na' | $knee run -- sh -c 'sort; printf err >&2; exit 5'");
  CHECK(script.wait() == 5);
  CHECK(script.out() == "a\nb\n");
  CHECK(script.err() == "err");
}

TEST_CASE("knee run carries files there and back") {
  SlaveProcess slave;
  const TemporaryFolder here;
  Script script(slave, "cd " + here.path().string() +
                           " && echo text > in && $knee run -n --in in --out deep/out -- "
                           "sh -c 'mkdir deep; cat in in > deep/out' && cat deep/out");
  CHECK(script.wait() == 0);
  CHECK(script.out() == "text\ntext\n");
}

TEST_CASE("knee run passes Ctrl-C on") {
  SlaveProcess slave;
  Tool tool(slave, {"run", "-n", "--", "sh", "-c",
                    "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done"});
  tool.wait_for_out("ready");
  tool.signal(SIGINT);
  CHECK(tool.wait() == 9);
  CHECK(tool.out() == "ready\ncaught\n");
}

TEST_CASE("knee run passes input on as it comes") {
  SlaveProcess slave;
  const TemporaryFolder here;
  Script script(slave, "(echo one; until [ -e " + here / "go" +
                           " ]; do sleep 0.02; done; echo two) | $knee run -- "
                           "sh -c 'while read line; do echo got $line; done; echo end; exit 6'");
  script.wait_for_out("got one\n");
  CHECK(script.out() == "got one\n");
  leave_mark(here / "go", "");
  CHECK(script.wait() == 6);
  CHECK(script.out() == "got one\ngot two\nend\n");
  CHECK(complaints_of(script) == "");
}

TEST_CASE("knee run shows output and errors as they come") {
  SlaveProcess slave;
  const TemporaryFolder here;
  const auto wait_for = [&](const std::string& mark) {
    return "until [ -e " + here / mark + " ]; do sleep 0.02; done; ";
  };
  Tool tool(slave, {"run", "-n", "--", "sh", "-c",
                    "echo failing >&2; " + wait_for("one") + "echo working; " + wait_for("two") +
                        "printf 'failed again' >&2; exit 7"});
  tool.wait_for_err("failing\n");
  CHECK(tool.out() == "");
  CHECK_THAT(tool.err(), !Contains("again"));
  leave_mark(here / "one", "");
  tool.wait_for_out("working\n");
  CHECK_THAT(tool.err(), !Contains("again"));
  leave_mark(here / "two", "");
  CHECK(tool.wait() == 7);
  CHECK(tool.out() == "working\n");
  CHECK(complaints_of(tool) == "failing\nfailed again\n");
}

TEST_CASE("knee run ends with its command although its input goes on") {
  SlaveProcess slave;
  const TemporaryFolder here;
  // The script itself holds the pipe open.
  Script script(slave, "mkfifo " + here / "pipe" + " && exec 3<>" + here / "pipe" +
                           " && $knee run -- sh -c 'exit 4' <&3");
  CHECK(script.wait() == 4);
  Script unread(slave, "head -c 10000000 /dev/zero | $knee run -- sh -c 'head -c 3; exit 5'");
  CHECK(unread.wait() == 5);
  CHECK(unread.out() == std::string(3, '\0'));
  CHECK(complaints_of(unread) == "");
}

TEST_CASE("knee run with its standard input closed gives its command an empty one") {
  SlaveProcess slave;
  Script script(slave, "$knee run -- sh -c 'cat; echo end' <&-");
  CHECK(script.wait() == 0);
  CHECK(script.out() == "end\n");
}

TEST_CASE("knee run passes Ctrl-C on while it waits for input") {
  SlaveProcess slave;
  const TemporaryFolder here;
  Script script(slave, "mkfifo " + here / "pipe" + " && exec 3<>" + here / "pipe" +
                           " && exec $knee run -- sh -c 'trap \"exit 9\" INT; echo ready; "
                           "while :; do sleep 0.05; done' <&3");
  script.wait_for_out("ready");
  script.signal(SIGINT);
  CHECK(script.wait() == 9);
}

TEST_CASE("knee run reads a terminal line by line, and ends while it waits for one") {
  const Terminal terminal;
  SlaveProcess slave;
  Script script(slave, std::string("exec $knee run -- sh -c 'read a; echo got $a; read b; exit 3' "
                                   "< ") +
                           terminal.name());
  terminal.type("line\n");
  script.wait_for_out("got line\n");
  terminal.type("\n");
  CHECK(script.wait() == 3);
}

TEST_CASE("Ctrl-C on the terminal of knee run is for its command, not for the local slave") {
  Terminal terminal;
  const TemporaryFolder here;
  // The terminal is that of its session, so that Ctrl-C is a signal for who is in the foreground.
  // The first one is caught by the command, the second one ends it.
  ChildProcess tool(
      {{"sh", "-c",
        "exec setsid -c " KNEE_TOOL " run -- sh -c 'trap \"trap - INT; echo caught >> " +
            here / "marks" + "\" INT; echo ready; while :; do sleep 0.05; done' < " +
            terminal.name() + " > " + terminal.name()},
       {}});
  REQUIRE(terminal.wait_for("ready"));
  const auto family = descendants_of(tool.pid());
  CHECK(family.size() >= 2);  // the slave, and the command with what is around it
  terminal.type("\x03");
  wait_for_marks(here / "marks");
  CHECK(tool.is_alive());
  terminal.type("\x03");
  CHECK(tool.wait() == 128 + SIGINT);
  CHECK_THAT(tool.err(), !Contains("draining"));  // as the slave would if the signal were its own
  CHECK(wait_until([&] { return std::none_of(family.begin(), family.end(), is_alive); }));
}

TEST_CASE("a signal that knee run gets before its command has started ends it") {
  SlaveProcess slave({.slots = 1});
  auto options = reaching(slave);
  options.commands_only = true;
  knee::Cluster cluster(options);
  const TemporaryFolder here;
  knee::LiveInput holding;
  knee::Command holder;
  holder.arguments = {"sh", "-c", "echo started >> " + here / "marks" + "; cat"};
  holder.live_input = holding;
  auto held = cluster.run(holder);
  wait_for_marks(here / "marks");
  Tool tool(slave, {"run", "--", "echo", "ran"});
  // With its session it has long taken signals over.
  CHECK(wait_until([&] { return cluster.describe().at(0).sessions == 2; }));
  tool.signal(SIGINT);
  CHECK(tool.wait() == 128 + SIGINT);
  CHECK(tool.out() == "");
  holding.close();
  CHECK(held.get().exit_code == 0);
}

TEST_CASE("knee run that waits for a slave ends at the first signal") {
  const TemporaryFolder here;
  Tool tool({"run", "--slaves", "unix:" + here / "nothing.sock", "--", "true"});
  tool.wait_for_err("no slave yet");
  tool.signal(SIGTERM);
  CHECK(tool.wait() == 128 + SIGTERM);
}

TEST_CASE("knee run --on runs its command on that slave, also if it comes late") {
  SlaveProcess gandalf({.environment = {{"WHOSE", "of gandalf"}}});
  SlaveProcess frodo({.name = "frodo", .environment = {{"WHOSE", "of frodo"}}, .start = false});
  const std::string both = gandalf.address() + "," + frodo.address();
  const std::vector<std::string> words{"--", "sh", "-c", "echo $WHOSE"};
  const auto run_on = [&](const std::string& slave) {
    std::vector<std::string> all{"run", "-n", "--slaves", both, "--on", slave};
    all.insert(all.end(), words.begin(), words.end());
    return all;
  };
  // Only gandalf is there.
  Tool late(run_on("frodo"));
  late.wait_for_err("for slave 'frodo', which is not here; here are: gandalf");
  CHECK(late.out() == "");
  frodo.start();
  CHECK(late.wait() == 0);
  CHECK(late.out() == "of frodo\n");
  for (const auto* slave : {&gandalf, &frodo})
    for (const std::string& name : {slave->name(), slave->address()}) {
      CAPTURE(name);
      Tool tool(run_on(name));
      CHECK(tool.wait() == 0);
      CHECK(tool.out() == "of " + slave->name() + "\n");
    }
}

TEST_CASE("knee run on a name that no slave has ends with 2 and the names there are") {
  SlaveProcess slave;
  Tool tool(slave, {"run", "-n", "--on", "frodo", "--", "true"});
  CHECK(tool.wait() == 2);
  CHECK_THAT(tool.err(), Contains("'frodo'") && Contains("gandalf"));
}

TEST_CASE("knee run on a slave that lacks the program ends with 255 and says so") {
  SlaveProcess slave;
  Tool tool(slave, {"run", "-n", "--on", "gandalf", "--", "no-such-program"});
  CHECK(tool.wait() == 255);
  CHECK_THAT(tool.err(), Contains("gandalf") && Contains("no-such-program"));
}

TEST_CASE("knee run uses this machine where no slaves are named") {
  Tool tool({"run", "-n", "--", "echo", "here"});
  CHECK(tool.wait() == 0);
  CHECK(tool.out() == "here\n");
}

TEST_CASE("knee run and knee bag end when nobody reads what they print") {
  SlaveProcess slave;
  Script run(slave, "{ $knee run -n -- yes; echo ended with $? >&2; } | head -n 1");
  CHECK(run.wait() == 0);
  CHECK(run.out() == "y\n");
  CHECK(run.err() == "ended with 141\n");
  Script bag(slave, "{ yes | $knee bag -j 1 echo; echo ended with $? >&2; } | head -n 1");
  CHECK(bag.wait() == 0);
  CHECK(bag.out() == "y\n");
  CHECK_THAT(bag.err(), Contains("ended with 141"));
}

TEST_CASE("knee run whose slave is killed says so and ends with 255") {
  SlaveProcess slave;
  Tool tool(slave, {"run", "-n", "--", "sh", "-c", "echo ready; sleep 1000"});
  tool.wait_for_out("ready");
  slave.kill();
  CHECK(tool.wait() == 255);
  CHECK_THAT(tool.err(), Contains("on slave gandalf, attempt 1 was lost with its slave"));
}

TEST_CASE("knee bag runs a line for each argument and counts failures") {
  SlaveProcess slave;
  Tool tool(slave, {"bag", "-k", "echo job {}; exit {}", ":::", "0", "3", "0", "1"});
  CHECK(tool.wait() == 2);
  CHECK(tool.out() == "job 0\njob 3\njob 0\njob 1\n");
}

TEST_CASE("knee bag shows output as jobs end, or in the order of their arguments") {
  SlaveProcess slave;
  const TemporaryFolder here;
  // The first job ends after the second.
  const std::string line =
      "[ {} = 2 ] || until [ -e " + here / "second" + " ]; do sleep 0.01; done; echo job {}";
  Tool by_end(slave, {"bag", line, ":::", "1", "2"});
  by_end.wait_for_out("job 2\n");
  leave_mark(here / "second", "");
  CHECK(by_end.wait() == 0);
  CHECK(by_end.out() == "job 2\njob 1\n");
  std::filesystem::remove(here / "second");
  Tool by_argument(slave, {"bag", "-k", line + "; touch " + here / "second", ":::", "1", "2"});
  CHECK(by_argument.wait() == 0);
  CHECK(by_argument.out() == "job 1\njob 2\n");
}

TEST_CASE("knee bag ends a job that runs too long, which is a failure") {
  SlaveProcess slave;
  Tool tool(slave, {"bag", "--timeout", std::to_string(kTimeSlack), "sleep {}; echo slept {}",
                    ":::", "0", "1000"});
  CHECK(tool.wait() == 1);
  CHECK(tool.out() == "slept 0\n");
  CHECK_THAT(tool.err(), Contains("job 2: ") && Contains("longer than its limit"));
  CHECK(wait_until([&] { return slave.family().empty(); }));
}

TEST_CASE("knee bag starts a job whose slave is lost as often as it may") {
  SlaveProcess slave;
  const TemporaryFolder here;
  // The driver hears only of jobs that run for a while that they have started.
  const std::string line = "sleep 0.3; echo runs >> " + here / "{}" + "; exec sleep 1000";
  Tool once(slave, {"bag", "--attempts", "1", line, ":::", "once"});
  wait_for_marks(here / "once");
  slave.kill();
  CHECK(once.wait() == 1);
  CHECK_THAT(once.err(), Contains("job 1: ") && Contains("attempt 1 was lost with its slave"));
  slave.start();
  Tool twice(slave, {"bag", "--attempts", "2", line, ":::", "twice"});
  for (std::size_t starts = 1; starts <= 2; ++starts) {
    wait_for_marks(here / "twice", starts);
    slave.kill();
    slave.start();
  }
  CHECK(twice.wait() == 1);
  CHECK_THAT(twice.err(), Contains("attempt 2 was lost with its slave"));
  CHECK(marks_in(here / "once").size() == 1);
  CHECK(marks_in(here / "twice").size() == 2);
}

TEST_CASE("knee bag shows progress while there are more jobs than it hands over at once") {
  SlaveProcess slave;
  const TemporaryFolder here;
  std::ofstream lines(here / "lines");
  for (int i = 0; i < 1100; ++i) lines << i << '\n';
  lines.close();
  Terminal terminal;
  Script script(slave,
                "exec $knee bag -f " + here / "lines" + " 'sleep 1000' 2> " + terminal.name());
  CHECK(terminal.wait_for("bag: 0 done, 2 running, 1022 waiting, 1 slave"));
}

TEST_CASE("knee bag shows progress while it waits for arguments, and output not behind it") {
  SlaveProcess slave;
  const TemporaryFolder here;
  Terminal terminal;
  Script script(slave, "{ echo 1; echo 2; while [ ! -e " + here / "end" +
                           " ]; do sleep 0.02; done; } | $knee bag -k 'echo out {} >&2; "
                           "while [ {} = 1 ] && [ ! -e " +
                           here / "go" + " ]; do sleep 0.02; done' 2> " + terminal.name());
  CHECK(terminal.wait_for("bag: 1 done, 1 running"));
  leave_mark(here / "go", "");
  CHECK(terminal.wait_for("\r\033[Kout 1"));
  leave_mark(here / "end", "");
  CHECK(script.wait() == 0);
}

TEST_CASE("knee bag takes arguments and whole lines from standard input and files") {
  SlaveProcess slave;
  const TemporaryFolder here;
  std::ofstream(here / "lines") << "echo one\necho two\n";
  Tool file(slave, {"bag", "-k", "-f", here / "lines"});
  CHECK(file.wait() == 0);
  CHECK(file.out() == "one\ntwo\n");
  Script input(slave, "printf 'a b\\nc\\n' | $knee bag -k printf '\"%s.\"' {}");
  CHECK(input.wait() == 0);
  CHECK(input.out() == "a b.c.");
  std::ofstream(here / "words") << "a b\nc\n";
  Tool combined(slave, {"bag", "-k", "echo {1}-{2}", "::::", here / "words", ":::", "1", "2"});
  CHECK(combined.wait() == 0);
  CHECK(combined.out() == "a b-1\na b-2\nc-1\nc-2\n");
}

TEST_CASE("knee bag sends and fetches files and keeps a log") {
  SlaveProcess slave;
  const TemporaryFolder here;
  Script script(slave, "cd " + here.path().string() +
                           " && mkdir d && echo a > d/a.x && echo b > d/b.x && "
                           "$knee bag --in {} --out {.}.y --joblog log -- 'tr ab AB < {} > {.}.y' "
                           "::: d/a.x d/b.x && cat d/a.y d/b.y && cut -f 2,7-9 log | sort");
  CHECK(script.wait() == 0);
  CHECK(complaints_of(script) == "");
  CHECK(script.out() ==
        "A\nB\nHost\tExitval\tSignal\tCommand\n"
        "gandalf\t0\t0\ttr ab AB < d/a.x > d/a.y\n"
        "gandalf\t0\t0\ttr ab AB < d/b.x > d/b.y\n");
}

TEST_CASE("the log of knee bag says when each job ran, and how many bytes went each way") {
  SlaveProcess slave;
  const TemporaryFolder here;
  std::ofstream(here / "a") << "12";
  std::ofstream(here / "b") << "1234567";
  const double before = seconds_since_1970();
  // The first job runs longest.
  Script script(slave, "cd " + here.path().string() +
                           " && exec $knee bag --in {} --out {}.y --joblog log -- "
                           "'cat {} {} > {}.y; printf out; printf error >&2; "
                           "[ {} = b ] || sleep 0.5' ::: a b");
  CHECK(script.wait() == 0);
  const double after = seconds_since_1970();
  const auto rows = rows_of(content_of(here / "log"), "\t");
  REQUIRE(rows.size() == 2);
  for (const Row& row : rows) {
    const bool first = count_of(row.at("Command"), "cat a") != 0;
    CAPTURE(row.at("Command"));
    CHECK(row.at("Seq") == (first ? "1" : "2"));
    const double start = std::stod(row.at("Starttime"));
    const double run_time = std::stod(row.at("JobRuntime"));
    constexpr double kRounding = 0.002;
    CHECK(start >= before - kRounding);
    CHECK(start + run_time <= after + kRounding);
    CHECK(run_time >= (first ? 0.4 : 0.0));  // measured from a little after its start
    CHECK(row.at("Send") == (first ? "2" : "7"));
    // Twice the input, and what it prints: 3 and 5.
    CHECK(row.at("Receive") == (first ? "12" : "22"));
  }
}

TEST_CASE("knee bag keeps the order and still says why it stops now") {
  SlaveProcess slave;
  Tool tool(slave, {"bag", "-k", "--halt", "now,fail=1", "sleep {}; echo why >&2; exit 7",
                    ":::", "1000", "0"});
  CHECK(tool.wait() == 7);
  CHECK_THAT(tool.err(), Contains("why"));
}

TEST_CASE("knee bag stops now at a failure, with its exit code") {
  SlaveProcess slave;
  Tool tool(slave, {"bag", "--halt", "now,fail=1", "sleep {}; exit 7", ":::", "0", "1000", "1000"});
  CHECK(tool.wait() == 7);
  CHECK(wait_until([&] { return slave.family().empty(); }));
}

TEST_CASE("knee bag stops soon at a failure and lets running jobs end") {
  SlaveProcess slave;
  const TemporaryFolder here;
  Tool tool(slave, {"bag", "-j", "1", "--halt", "soon,fail=1",
                    "echo {} >> " + here / "marks" + "; exit {}", ":::", "0", "4", "0"});
  CHECK(tool.wait() == 4);
  CHECK(marks_in(here / "marks") == std::vector<std::string>{"0", "4"});
}

TEST_CASE("knee bag that is to stop soon starts no more jobs than there are slots") {
  SlaveProcess slave;
  const TemporaryFolder here;
  Script script(slave, "seq 40 | $knee bag --halt soon,fail=1 'echo {} >> " + here / "ran" +
                           "; sleep 0.05; exit 5'");
  CHECK(script.wait() == 5);
  CHECK(marks_in(here / "ran").size() <= 6);
}

TEST_CASE("an output that a command did not make is a failure") {
  SlaveProcess slave;
  Tool run(slave, {"run", "-n", "--out", "nothing", "--", "true"});
  CHECK(run.wait() == 255);
  CHECK_THAT(run.err(), Contains("made no file 'nothing'"));
  Tool failing(slave, {"run", "-n", "--out", "nothing", "--", "sh", "-c", "exit 5"});
  CHECK(failing.wait() == 5);
  Tool bag(slave, {"bag", "--out", "r{}", "true", ":::", "1", "2"});
  CHECK(bag.wait() == 2);
  CHECK_THAT(bag.err(), Contains("job 1: the command made no file 'r1'"));
  const TemporaryFolder here;
  Script log(slave, "$knee bag --out r --joblog " + here / "log" + " true ::: 1; cut -f 7-9 " +
                        here / "log");
  CHECK(log.wait() == 0);
  CHECK(log.out() == "Exitval\tSignal\tCommand\n1\t0\ttrue 1\n");
}

TEST_CASE("knee bench measures what its slaves can do") {
  SlaveProcess slave;
  Tool text(slave, {"bench", "--mb", "1", "--seconds", "0.2"});
  REQUIRE(text.wait() == 0);
  const auto rows = rows_of(text.out());
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].at("NAME") == "gandalf");
  CHECK_THAT(rows[0].at("ROUND TRIP"), Matches("[0-9.]+ [num]?s"));
  CHECK_THAT(rows[0].at("TO IT"), Matches("[0-9.]+ [kMG]B/s"));
  CHECK_THAT(rows[0].at("FROM IT"), Matches("[0-9.]+ [kMG]B/s"));
  CHECK_THAT(text.out(), Contains(" empty tasks/s on 2 slots\n"));
  Tool tool(slave, {"bench", "--json", "--mb", "1", "--seconds", "0.2"});
  REQUIRE(tool.wait() == 0);
  const auto result = boost::json::parse(tool.out());
  CHECK(result.at("tasks_per_s").as_double() > 100);
  CHECK(result.at("slaves").at(0).at("name") == "gandalf");
  CHECK(result.at("slaves").at(0).at("round_trip_s").as_double() > 0);
  CHECK(result.at("slaves").at(0).at("to_bytes_per_s").as_double() > 0);
  CHECK(result.at("slaves").at(0).at("from_bytes_per_s").as_double() > 0);
  CHECK(result.at("slots").to_number<int>() == 2);
}

TEST_CASE("each verb's help has an example, and wrong use ends with 2") {
  for (const char* verb : {"slaves", "run", "bag", "cp", "ls", "python", "bench", "doctor"}) {
    Tool tool({verb, "--help"});
    CHECK(tool.wait() == 0);
    CHECK_THAT(tool.out(), Contains("Example") && Contains(std::string("knee ") + verb));
  }
  Tool lost({"walk"});
  CHECK(lost.wait() == 2);
  CHECK_THAT(lost.err(),
             Contains("no verb 'walk'") && Contains("slaves run bag cp ls python bench doctor"));
  for (const std::vector<std::string>& words : {std::vector<std::string>{},
                                                {"walk"},
                                                {"run"},
                                                {"run", "--no-such-option", "x"},
                                                {"--no-such-option"},
                                                {"slaves", "--slots", "many"},
                                                {"slaves", "too", "many"},
                                                {"run", "--on"},
                                                {"run", "--ship", "/no/such/file", "true"},
                                                {"run", "--in", "/no/such/file", "true"},
                                                {"bench", "--mb", "-5"},
                                                {"doctor"},
                                                {"bag", "-f", "/no/such/file", "echo"},
                                                {"bag", "--joblog", "/no/such/log", "echo"},
                                                {"bag", "--timeout", "-1", "echo"},
                                                {"bag", "--halt", "x", ":::", "1"}}) {
    Tool tool(words);
    CHECK(tool.wait() == 2);
    CAPTURE(tool.err());
    CHECK_THAT(tool.err(), Catch::StartsWith("knee: "));
    CHECK(count_of(tool.err(), "\n") == 1);
  }
}
