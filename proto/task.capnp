@0xd1d3f1f5a2c94e01;
# A task, what becomes of it, and what it says on the way.
#
# These structs travel unchanged from driver to slave (slave.capnp) and from slave to worker
# (worker.capnp). Schemas only grow: a field is never renumbered or reused, an unknown field is
# ignored, an unknown union member is a clear error of that one task.
#
# All durations are nanoseconds unless a name says otherwise. All sizes are bytes.

using Cxx = import "/capnp/c++.capnp";
using O = import "object.capnp";
$Cxx.namespace("knee::proto");

struct Task {
  # One start of one task: a retry is sent as a new Task with the same id and a higher attempt.

  id @0 :UInt64;
  # Chosen by the driver, unique among the tasks it has at this slave. Opaque to everyone else.

  function @1 :UInt32;
  # Index into the session's function table (`Work.functions`). Unused for a command.

  attempt @2 :UInt16 = 1;
  # 1 for the first start.

  cores @3 :UInt16 = 1;
  # Slots the task takes while it runs. A slave with fewer slots answers with `refused`.

  timeout @4 :UInt64;
  # Longest run time; the worker is killed after it. 0: none.

  arguments @5 :Payload;
  # The encoded argument tuple (knee/codec.h). Opaque to the slave.

  capabilities @6 :List(O.Object);
  # Capability table: functions and objects among the arguments, which refer to them by index. The slave
  # lets go of them when the attempt has ended. Not for a command.

  command @7 :Command;
  # When set, the task is this command and `function` and `arguments` are unused.

  shared @8 :List(Data);
  # Digests of the shared values (`Work.shared`) that the arguments refer to.

  chain @9 :UInt64;
  # The call chain it belongs to, as `Call.chain`. Of a task with `capabilities`.
}

struct Payload {
  # Bytes of a value: beside it when small, else by reference.
  union {
    inline @0 :Data;
    # Up to 56 KiB.

    value @1 :UInt64;
    # Id of a value that was moved as a stream (`Session.putValue`, `Session.getValue`), or, between
    # slave and worker, of a memfd that was passed over the channel's socket.
  }

  size @2 :UInt64;
  # Of `value`: a receiver can make room at once. A memfd that is passed may be longer than its value.
}

struct Command {
  # An existing executable with its files.

  arguments @0 :List(Text);
  # argv. arguments[0] is looked up: among the inputs when it has no slash and one is so named, else
  # by the slave's PATH, else as a path on the slave.

  environment @1 :List(Text);
  # "NAME=value", added to the slave's own environment.

  folder @2 :Text;
  # Working folder on the slave. Empty: a scratch folder of the task's own, removed afterwards.

  inputs @3 :List(InputFile);
  # Placed into the scratch folder before the start. Refused together with `folder`.

  outputs @4 :List(Text);
  # Files, relative to the working folder and without "..", that are sent back when the command has
  # ended. A folder stands for all regular files below it.

  stdin @5 :Payload;
  # The whole of standard input. Empty: /dev/null. The id of a `value` is that of the task.

  keepOutput @6 :Bool;
  # stdout and stderr come back in the outcome, up to 16 MiB each.

  live @7 :Live;
  # How they come while it runs, as OutputText. All of it is sent before the outcome.

  enum Live {
    # What is sent while the command runs.
    lines @0;   # whole lines (see OutputText)
    bytes @1;   # as soon as they are written, lines or not
    none @2;    # not at all
  }

  liveStdin @8 :Bool;
  # Standard input is a pipe that `Session.writeStdin` fills while the command runs; `stdin` is empty
  # then. Such a command is sent once: what it has read cannot be said again.
}

struct InputFile {
  name @0 :Text;        # relative path without ".."
  digest @1 :Data;      # SHA-256 of the content, which is in the slave's store
  executable @2 :Bool;  # its mode gets the x bits
}

struct OutputFile {
  name @0 :Text;  # as in Command.outputs, or below a folder named there
  executable @1 :Bool;  # the owner may execute it
  content @2 :Payload;  # its bytes
}

struct Outcome {
  # How one attempt ended. A failure of the task is data, never an RPC exception.

  id @0 :UInt64;  # of the task
  attempt @1 :UInt16;  # of the task, as sent

  runTime @2 :UInt64;
  # Wall time of the task's code. 0 if it never started.

  union {
    value @3 :Payload;
    # It returned; the encoded result.

    exception @4 :O.Failure;
    # It threw. Final.

    exited @5 :Death;
    # It called exit(). Final.

    cancelled @6 :Void;
    # It was cancelled by the driver, before or while it ran. Final.

    timedOut @7 :Death;
    # It ran longer than `Task.timeout`; its worker was killed.

    crashed @8 :Death;
    # Its worker died while it ran. Charged.

    outOfMemory @9 :Death;
    # Its worker was killed for want of memory while the task ran. Charged.

    notStarted @10 :Text;
    # It never started: taken back, or the worker that held it died of something else, or an input file
    # was evicted before the command came (the text says what). Not charged. The input files of a
    # command are to be asked for again (`Store.lacking`).

    refused @11 :Text;
    # It can never run at this slave (more cores than slots, unknown function ...). Final here.

    commandEnded @12 :CommandResult;
    # The command ran and ended, however. Final.
  }
}

struct Death {
  # What is known of a dead worker. Fields are 0 or empty where nothing is known.
  exitCode @0 :Int32;  # as of exit(); 0 if a signal ended it
  signal @1 :Int32;          # 0: it exited by itself
  wallTime @2 :UInt64;       # of the worker, not of the task
  cpuTime @3 :UInt64;        # user and system, worker and its children
  peakMemory @4 :UInt64;  # bytes, resident, of the largest of its processes
  stderrTail @5 :Text;       # its last lines, up to 4 KiB
  explanation @6 :Text;      # one sentence for people
}

struct CommandResult {
  exitCode @0 :Int32;  # as of exit(); 128 + signal if one ended it
  signal @1 :Int32;  # 0: it exited by itself
  files @2 :List(OutputFile);  # the outputs that were there
  missing @3 :List(Text);    # outputs that were not there
  stdout @4 :Payload;        # only with Command.keepOutput
  stderr @5 :Payload;  # the same
  death @6 :Death;  # what is known of its process
  cut @7 :Bool;              # stdout or stderr was longer than 16 MiB: the rest is lost
}

struct Started {
  # Sent for tasks that have been running for some ten milliseconds, so that a lost slave's tasks can be
  # told apart and stragglers seen. Short tasks end before they are worth a message.
  id @0 :UInt64;  # of the task
  attempt @1 :UInt16;  # of the task, as sent
  runningFor @2 :UInt64;  # ns since its code began
  progress @3 :Float32 = -1;    # 0 to 1, as the task says by this_task::progress; negative: it has not
}

struct OutputText {
  # Whole lines (or a piece of one, if over 8 KiB or the process ended within a line) a task printed.
  id @0 :UInt64;      # the task, or 0: printed outside any task
  slot @1 :UInt16;  # of the slave, from 0
  error @2 :Bool;     # stderr
  text @3 :Data;  # the bytes, newlines included
}
