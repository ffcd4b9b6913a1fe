@0xd1d3f1f5a2c94e02;
# Slave and worker: two processes on one machine, perhaps of different versions.
#
# A worker is the user's program, started by a keeper with KNEE_WORKER="FD:INODE" in its
# environment: a SOCK_SEQPACKET socket it inherited. (The inode tells a real mark from a stale one.)
# The slave sends on it one message `Setup` with the channel's memfd attached. From then on
# the socket carries only
#   - doorbells: messages of one byte, sent to a side that has said it sleeps;
#   - values: 8 bytes, the little-endian value id, with a sealed memfd attached that begins with the
#     bytes (Payload.size says how many); the same without a memfd: the value is not wanted any more;
#   - loans, slave to worker: 4 bytes, the little-endian number of the next record, with a memfd attached
#     that its result may be passed in, if that is large. A worker may ignore it. It touches
#     the memfd no more once the record has an outcome.
# Its end of file means that the other side is gone.
#
# The memfd holds a control page and two rings (common/channel/layout.h gives the offsets). Each
# record in a ring is one message below, a single-segment Cap'n Proto message without framing.
# The slave treats all it reads there as it would bytes from a network.

using Cxx = import "/capnp/c++.capnp";
using O = import "object.capnp";
using T = import "task.capnp";
$Cxx.namespace("knee::proto");

struct Setup {
  # The first message on the socket, slave to worker.
  layoutVersion @0 :UInt32;   # of the shared memory; a worker that knows only older ones exits with a text
  slaveName @1 :Text;  # as drivers know it
  slot @2 :UInt32;            # 0 ..
  channelSize @3 :UInt64;  # bytes of the shared memory
  files @4 :List(Text);
  # The program's files in the order `Function.file` counts them, by name; the executable as "".
}

struct ToWorker {
  union {
    task @0 :T.Task;
    # Claimable: counted by the claim word. For one with `capabilities` a stream socket has been passed,
    # as the value whose id is the complement of the task's. On it the worker bootstraps `TaskObjects`, in
    # Cap'n Proto RPC (two-party, level 1), until the task has ended. The list in the record says only
    # how many there are.

    functions @1 :FunctionTable;
    # Stands before the first task that needs them and is claimed like a task, without an outcome.
    # May repeat what was said before.

    shared @2 :SharedValue;
    # Where a shared value lies. Stands before the first task that needs it.

    serveObjects @3 :UInt64;
    # A value of this id has been passed that is a stream socket. From now on the worker takes no more
    # records: on the socket it speaks Cap'n Proto RPC (two-party, level 1) and bootstraps `ObjectHost`
    # until nobody holds an object of it.
  }
}

interface ObjectHost {
  # A worker that objects live in.

  root @0 () -> (object :O.Object);
  # An object that is nothing: functions called on it take none, and make others. They may be called on every
  # other object of the process as well. That of a Python session is its interpreter. To hold it keeps the
  # worker alive as any object does.

  count @1 () -> (objects :UInt64);
  # How many objects live there, the root not counted.

  finish @2 () -> ();
  # Answered when all calls that have arrived before it have come to their end, with those that were sent on
  # what they return.

  waits @3 () -> (call :UInt64, behind :List(UInt64), within :List(UInt64));
  # `call`: number of the call that the process waits for, however long that takes; 0: for none. Meanwhile it
  # carries out calls of the same chain only. `behind`: numbers of the others that have arrived. `within`:
  # numbers of those that have begun, which it carries out one within the other, the last one waiting.

  refuse @4 (call :UInt64, why :Text) -> ();
  # The call of that number, if it has arrived and has not begun, fails with these words.
}

interface TaskObjects {
  # A worker that runs a task with capabilities.

  lend @0 (objects :List(O.Object)) -> ();
  # Called once: `Task.capabilities`, for as long as the connection lasts.

  waits @1 () -> (call :UInt64, behind :List(UInt64), within :List(UInt64));
  # As ObjectHost.waits. Answered while the task waits.

  refuse @2 (call :UInt64, why :Text) -> ();
  # As ObjectHost.refuse.
}

struct FunctionTable {
  first @0 :UInt32;             # index of entries[0]
  entries @1 :List(Function);  # of consecutive indexes
}

struct Function {
  # Where a task's code is: the same in every process of the program variant.
  file @0 :UInt32;
  # Index into the session's list of program files. 0xffffffff: the driver does not know where the function
  # is, and `label` says why; its tasks fail with that text.

  offset @1 :UInt64;   # from the file's load address
  label @2 :Text;      # for people: name of the function, or file and line of the call
}

struct SharedValue {
  digest @0 :Data;     # as in Task.shared; arguments refer to the value by it
  path @1 :Text;       # a file that holds the encoded value; it stays while the session lives
}

struct FromWorker {
  union {
    ready @0 :Void;
    # Static constructors and main() up to the Cluster are done; it takes tasks now.

    outcome @1 :T.Outcome;
    # Of the task claimed first among those without one.

    unusable @2 :Text;
    # The worker cannot serve (a plugin not loaded, a layout too new ...) and ends itself.
  }

  printed @3 :Bool;
  # With an outcome: the task has left something in the pipes of stdout or stderr. The worker waits
  # until the slave has read them empty (`output_drained` in the control page), so that each
  # line is known to be this task's.
}
