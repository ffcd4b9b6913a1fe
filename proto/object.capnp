@0xd1d3f1f5a2c94e04;
# A live object, wherever it lives: in a worker of a slave, or in a driver that offers it.
#
# An object is a capability. To hold it keeps it alive; when nobody holds it any more it is destroyed. It is
# gone with the process it lives in. Slaves and drivers that lie between pass calls on.
#
# Calls on one object are carried out in the order in which they were sent, one at a time, and so are
# calls on all objects of one process. A call may be sent on the `object` of another call before that
# has been answered.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("knee::proto");

interface Object {
  call @0 (call :Call) -> (result :CallResult, object :Object);
  # `object`: what a function that returns a reference returned; null otherwise.
  #
  # A failure of the function is a CallResult. An RPC exception means that the call did not come to its
  # end: the process or a connection on the way was lost (DISCONNECTED), or the caller broke a
  # rule of this file (FAILED).
}

struct Call {
  file @0 :UInt32;
  # The function that takes the object, as in `Function` (worker.capnp): both sides are processes
  # of one program.

  offset @1 :UInt64;
  # From the file's load address.

  arguments @2 :Data;
  # The encoded argument tuple (knee/codec.h).

  objects @3 :List(Object);
  # What the arguments refer to, by index.

  chain @4 :UInt64;
  # The call chain it belongs to: a process that waits for the result of a call carries out calls of the
  # same chain meanwhile, and no others. 0: a chain of its own.
}

struct CallResult {
  union {
    value @0 :Data;
    # It returned; the encoded result.

    exception @1 :Failure;
    # It threw.
  }
}

struct Failure {
  type @0 :Text;   # the C++ exception's type, demangled
  what @1 :Text;   # its what()
}
