@0xd1d3f1f5a2c94e03;
# What crosses between a driver and a slave, whoever dialed.
#
# A connection (Unix socket, TCP, or an inherited socket pair) opens with 8 bytes from each side,
# `KNEE\0\0\0\1`; a side that reads anything else drops it. Then both speak Cap'n Proto RPC (two-party,
# level 1) and each bootstraps the other's `Door`. `hello` comes first and only once; until it has
# been answered nothing else exists to be called.
#
# RPC exceptions mean: the connection broke (DISCONNECTED), a resource is short (OVERLOADED), this
# version does not know the method (UNIMPLEMENTED), or the caller broke a rule of this file (FAILED).
# What becomes of a task is an Outcome.

using Cxx = import "/capnp/c++.capnp";
using O = import "object.capnp";
using T = import "task.capnp";
using W = import "worker.capnp";
$Cxx.namespace("knee::proto");

const protocolVersion :UInt32 = 1;
# Raised only by a change that old peers cannot ignore. Both sides refuse, in words, what they
# do not speak.

interface Door {
  hello @0 (hello :Hello) -> (hello :Hello, slave :Slave, meeting :Meeting);
  # A slave answers with `slave`, a driver (later a hub) that takes dialing slaves with `meeting`.
  # A refusal is an answer with `Hello.refusal` set, and the connection ends.
}

struct Hello {
  protocol @0 :UInt32;  # `protocolVersion` of the speaker
  version @1 :Text;           # of Knee, for people
  features @2 :List(Text);    # optional abilities, by name
  role @3 :Role;  # what the speaker is
  name @4 :Text;              # slave: its --name, else its host name. driver: "user@host program"
  architecture @5 :Text;      # as `uname -m`
  cpuFlags @6 :List(Text);    # slave only
  proof @7 :Data;             # of identity; empty today
  refusal @8 :Text;           # not empty: we will not talk, and why
  identity @9 :Text;          # whose share of the slots it counts against; "user@host" until keys exist

  enum Role {
    # Who speaks.
    driver @0;  # has tasks
    slave @1;  # has slots
  }
}

interface Meeting {
  # Where slaves that dial introduce themselves.
  join @0 (slave :Slave) -> (membership :Membership);
  # A slave that has dialed offers itself; drivers use it as if they had dialed it. Once per connection.
  # Fails, in words, if the driver has a slave of that name: nothing is kept of the second one, the first one
  # stays. The second one ends its connection and may dial again, as often as it likes; if the first one has
  # dialed as well, it is let in when that one has left.
}

interface Membership {
  # Held by the slave while it is a member. Dropping it, or the connection, means the slave left.
}

interface Slave {
  describe @0 () -> (description :Description);
  # Cheap; also serves as the heartbeat.

  store @1 () -> (store :Store);
  # The slave's blob store. All drivers share it.

  openSession @2 (request :SessionRequest) -> (session :Session);
  # The blobs it names must be in the store. The session ends when the capability is dropped (or
  # `linger` after the connection was lost): workers are killed, slots and memory are free.
  #
  # Fails, in words, if the slave drains, if no variant is for its architecture, or if a blob is missing. No
  # session is there then, and no blob is protected for it; those that are in the store stay, and a caller
  # may put what is missing and ask again.

  reserve @3 (cores :UInt32, until :UInt64) -> (reservation :Reservation);
  # Reserved for gangs of slots. Not implemented.
}

interface Reservation {}

struct Description {
  name @0 :Text;  # its --name, else its host name
  version @1 :Text;  # of Knee, for people
  architecture @2 :Text;  # as `uname -m`
  host @3 :Text;  # its host name
  slots @4 :UInt32;  # tasks it runs at once
  slotsBusy @5 :UInt32;  # of those, taken now
  sessions @6 :UInt32;  # open now, of all drivers
  memoryTotal @7 :UInt64;      # bytes, of the machine or its cgroup
  memoryAvailable @8 :UInt64;  # bytes, as the kernel estimates
  load @9 :Float32;            # 1 minute average
  upTime @10 :UInt64;          # ns, of the slave
  draining @11 :Bool;  # it takes no new tasks
  storeBytes @12 :UInt64;      # on disk in its blob store, as of some seconds ago
  ownMemory @13 :UInt64;       # resident memory of knee-slave itself
  endsAt @14 :Int64;           # Unix time in seconds at which the slave must end; 0: not known
  storeReceived @15 :UInt64;   # bytes of blobs received since the slave started
  storeLimit @16 :UInt64;      # bytes its blob store may take on disk; 0: not known
  system @17 :Text;            # the machine's system and its version, as /etc/os-release has it; empty: not known
  kernel @18 :Text;            # and its kernel: "Linux 6.1.0-18-amd64"
  cores @19 :UInt32;           # that it may use; 0: not known
}

interface Store {
  # Files by the SHA-256 of their content.

  lacking @0 (digests :List(Data)) -> (digests :List(Data));
  # Those of `digests` that are not here. What is here counts as used now: it is evicted last, if
  # room is short. It is safe once a session or a queued command needs it.

  put @1 (digest :Data, size :UInt64) -> (sink :ByteSink);
  # `sink.done` fails if the content does not match the digest; nothing is kept then. Two may put the same
  # blob at once.
  #
  # OVERLOADED: the blob would fit, but what sessions and queued commands need leaves no room now. Nothing is
  # kept and nothing was evicted for it; the caller waits until some of that has ended, and asks again. FAILED:
  # it fits never, or the disk is full.
}

interface ByteSink {
  write @0 (bytes :Data) -> stream;
  # Chunks of up to 1 MiB, in order.

  done @1 () -> ();
  # Everything was written. Dropping the sink without it discards what was sent.
}

struct SessionRequest {
  id @0 :Data;
  # 16 random bytes, a secret of the driver's; the key to `resume`.

  variants @1 :List(Variant);
  # The same program for different architectures. Today exactly one. Empty: a session that runs
  # only commands.

  arguments @2 :List(Text);      # argv of the driver, given to workers
  environment @3 :List(Text);    # "NAME=value", added to the slave's environment for workers
  linger @4 :UInt64;             # ns the session outlives a lost connection. Today only 0 is honoured.
  limits @5 :Limits;  # what the driver asks the slave to keep to
  name @6 :Text;                 # of the program, for people
}

struct Variant {
  architecture @0 :Text;  # as `uname -m`
  files @1 :List(ProgramFile);   # `Function.file` counts them
}

struct ProgramFile {
  name @0 :Text;
  # Under which the program looks for it; other names of the same content are entries of their own.

  role @1 :Role;  # what the file is to the program
  digest @2 :Data;
  # SHA-256 of the content
  size @3 :UInt64;  # bytes

  enum Role {
    # What a file is to its program.
    executable @0;  # started; exactly one
    loader @1;  # the dynamic loader (PT_INTERP); none in a static program
    library @2;  # found by the loader
    extra @3;  # lies where libraries do; the program opens it itself
    native @4;  # instead of an executable: one that runs with the loader and the libraries of the slave
  }
}

struct Limits {
  slots @0 :UInt32;     # at most so many at once. 0: no limit of the session's own
}

interface Session {
  exchange @0 (work :Work) -> (update :Update);
  # Hand over tasks, get what has accumulated. The call stays pending until there is something to
  # say; the slave answers pending calls oldest first, and holds results back while none
  # is pending: that is the flow control. A caller keeps one or two pending while it has tasks or
  # objects here.
  # More than four pending: the oldest is answered empty.

  putValue @1 (id :UInt64, size :UInt64) -> (sink :ByteSink);
  # Moves an argument of over 56 KiB ahead of the task that names it in Payload.value. The value is
  # dropped once its task has ended or was given back. Ids are the caller's, unique in the session
  # and below 2^63.

  getValue @2 (id :UInt64, sink :ByteSink) -> ();
  # Fetches a result that an Outcome named in Payload.value; returns after `sink.done`. It is fetched once: the
  # slave lets go of the value when the call arrives, so one that breaks on the way, or whose sink fails, is lost,
  # and a second call for it fails (the driver starts the task again, or fails it). What is not to be fetched is
  # dropped by `Work.dropValues`.

  resume @3 (id :Data, number :UInt64) -> (session :Session);
  # Reserved: take a lingering session over. Not implemented.

  signalTask @4 (id :UInt64, signal :Int32) -> ();
  # Sends a signal to a running command (Ctrl-C passed on). Nothing happens if it does not run: wait for
  # its Started.

  writeStdin @5 (id :UInt64, bytes :Data, end :Bool) -> (closed :Bool);
  # Goes on with the standard input of a command with `Command.liveStdin` that was reported as started:
  # up to 1 MiB, and with `end` nothing comes after it. Answered when the command's pipe has taken all
  # of it: that is the flow control, and it may take as long as the command runs. One call at a time
  # for each command; a second one fails. A call that is dropped is carried out nevertheless.
  #
  # `closed`: the command has ended, has closed its standard input, or never had a live one. What its
  # pipe did not take is thrown away, and so would be what comes after it. The command's outcome
  # knows nothing of that.

  openHome @6 (program :Variant) -> (home :Home, root :O.Object);
  # Starts a process for objects; fails, in words, if it cannot. `root`: as ObjectHost.root (worker.capnp); it may be called before
  # this has been answered. `program`: what it runs, if that is not the session's program; its files must be in the store.

  taskWaits @7 (id :UInt64) -> (call :UInt64, behind :List(UInt64), within :List(UInt64));
  # As TaskObjects.waits (worker.capnp) of the worker that runs this task with capabilities. Of another task: as if
  # it waited for nothing.

  refuseInTask @8 (id :UInt64, call :UInt64, why :Text) -> ();
  # As TaskObjects.refuse (worker.capnp) there, if it is there.
}

interface Home {
  # A worker process of the session that objects live in. It takes no slot: what is called there runs at
  # once, beside the tasks. It ends when nobody holds an object of it, with the session, or as any
  # process may; then all its objects are broken.

  ended @0 () -> (outcome :T.Outcome);
  # Answered when it has ended: how.

  count @1 () -> (objects :UInt64);
  # How many objects live there.

  interrupt @2 () -> ();
  # Sends SIGINT to its process. A Python session ends what it does with KeyboardInterrupt; most others end.

  end @3 () -> ();
  # Kills its process. It may have ended before.

  waits @4 () -> (call :UInt64, behind :List(UInt64), within :List(UInt64));
  # As ObjectHost.waits (worker.capnp).

  refuse @5 (call :UInt64, why :Text) -> ();
  # As ObjectHost.refuse (worker.capnp).
}

struct Work {
  acknowledge @0 :UInt64;
  # Highest Update.number that has been taken over. Reserved for `resume`: today a session ends with
  # its connection, and the slave forgets an update when it has been sent.

  functions @1 :List(W.Function);
  # Appended to the session's function table. Tasks of the same Work may use them.

  shared @2 :List(Data);
  # Digests of shared values tasks will use; the blobs are in the store and stay there while the session
  # lives. Answered at once; tasks that use them are sent after that answer.

  tasks @3 :List(T.Task);
  # To be queued behind those sent before.

  takeBack @4 :UInt32;
  # Give back up to so many tasks that have not started, the youngest first, as `notStarted`.

  cancel @5 :List(UInt64);
  # Tasks to end: queued ones at once; running ones see this_task::cancelled() and are killed after
  # `cancelGrace`.

  cancelGrace @6 :UInt64 = 1000000000;
  # ns.

  dropValues @7 :List(UInt64);
  # Results named by Payload.value that will not be fetched.

  awaited @8 :List(UInt64);
  # Tasks that a callback waits for, for whose end others wait: perhaps tasks that hold all slots. They
  # start at once, beside the slots if none is free. Unknown ones are ignored.
}

struct Update {
  number @0 :UInt64;
  # 1, 2, 3 ... in the session. 0: an empty answer that needs no acknowledgement.

  outcomes @1 :List(T.Outcome);
  # How attempts ended, in the order in which the slave heard of it.
  output @2 :List(T.OutputText);
  # What tasks printed. Comes no later than the outcome of its task.
  started @3 :List(T.Started);
  # Tasks that run, and have for a while.

  notes @4 :List(Text);
  # For the driver's stderr: a worker died before it served, the slave drains ...

  slots @5 :UInt32;
  # The slots this session may hold when no other wants any. 0: unchanged.

  draining @6 :Bool;
  # The slave takes no new tasks: those it has not started come back in this and later updates.

  takeBackAnswered @7 :Bool;
  # With this update the answer to `Work.takeBack` is complete (the tasks are among `outcomes`).
}
