@0xd1d3f1f5a2c94e04;
# A live object, wherever it lives: in a worker of a slave, or in a driver that offers it.
#
# An object is a capability. To hold it keeps it alive; when nobody holds it any more it is destroyed. It is
# gone with the process it lives in. Slaves and drivers that lie between pass calls on.
#
# Calls on one object are carried out in the order in which they were sent, one at a time, and so are
# calls on all objects of one process. A call may be sent on the `object` of another call before that
# has been answered; it keeps its place among the calls of who sent it (`Call.number`).

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("knee::proto");

interface Object {
  call @0 (call :Call) -> (result :CallResult, object :Object);
  # `object`: what a function that returns a reference returned; null otherwise.
  #
  # A failure of the function is a CallResult. An RPC exception means that the call did not come to its
  # end: the process or a connection on the way was lost (DISCONNECTED), or the caller broke a
  # rule of this file (FAILED).

  use @1 (use :Use) -> (result :UseResult, object :Object);
  # The same for an object that is used by names, as those of a Python session are: `object` is what the
  # use gave, unless only its value was wanted. An object that is called by functions answers with an
  # exception, and so does the reverse.
}

interface Block {
  # Bytes that are too many for one message. Whoever names it in the `blocks` of a message keeps them
  # until it is let go, and they do not change. Whoever wants them reads them, in pieces, as many at
  # once as it likes.

  read @0 (offset :UInt64, size :UInt32) -> (bytes :Data);
  # Up to 4 MiB. Less than was asked for only at the end.
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

  large @5 :Large;
  # In place of `arguments`, if they are more than 256 KiB.

  number @6 :UInt64;
  # Tells it from all other calls that are under way, whoever made them. Each process counts up from a number
  # of its own, far from all others most likely: a call that is up to 2^40 ahead of another one was sent
  # after it, by the same process. 0: not told.
}

struct CallResult {
  union {
    value @0 :Data;
    # It returned; the encoded result, up to 256 KiB.

    exception @1 :Failure;
    # It threw.

    large @2 :Large;
    # It returned that. Who reads it keeps the object that was called until it has been read.
  }
}

struct Failure {
  type @0 :Text;   # the C++ exception's type, demangled
  what @1 :Text;   # its what()
  traceback @2 :Text;  # where it was thrown, for people, in lines; empty if that is not known
}

struct Use {
  # One use of an object by names.

  union {
    attribute @0 :Text;
    # The value of an attribute of that name.

    setAttribute @1 :Text;
    # `arguments`: its new value.

    item @2 :Void;
    # `arguments`: the key.

    setItem @3 :Void;
    # `arguments`: the key and the new value.

    call @4 :Text;
    # Calls the method of that name with `arguments` and `named`; the object itself, if the name is empty.

    iterate @5 :Void;
    # Gives an object that answers `next`.

    next @6 :UInt32;
    # Of what is iterated over: up to so many things, and at least one if there is one. Gives a tuple: a list
    # of them, and whether that was all. What comes slowly comes in fewer at once.

    text @7 :Void;
    # What people are to see of it.

    representation @8 :Void;
    # What programmers are to see of it.

    length @9 :Void;
    # How many things are in it.

    copy @10 :Void;
    # Itself.
  }

  arguments @11 :List(Value);  # by position; of `setAttribute`, `item` and `setItem` as said there
  named @12 :List(NamedValue);  # by parameter

  wanted @13 :Wanted;
  # In which form the result is wanted.

  enum Wanted {
    # What becomes of a result that is plain data: nothing but Values other than `object`.
    object @0;  # it stays where it is; a small one comes along as a copy
    copy @1;    # it is copied, however large it is
  }

  objects @14 :List(Object);
  # What the arguments refer to, by index.

  blocks @15 :List(Large);
  # As `objects`.

  chain @16 :UInt64;
  # As Call.chain.

  number @17 :UInt64;
  # As Call.number.
}

struct UseResult {
  union {
    value @0 :Value;
    # It came to its end; what it gave. Without `object` beside it: all of that.

    exception @1 :Failure;
    # It did not.

    object @2 :Void;
    # It gave what `object` beside it is, and that was not copied.
  }

  objects @3 :List(Object);  # what the value refers to, by index
  blocks @4 :List(Large);  # as `objects`; as with CallResult.large, the object that was used is kept meanwhile
}

struct Value {
  # A value that says of what kind it is: what objects that are used by names take and give.

  union {
    none @0 :Void;  # nothing: None in Python
    bool @1 :Bool;  # true or false
    int @2 :Int64;  # a whole number
    bigInt @3 :Text;  # one that is no Int64, in decimal
    float @4 :Float64;  # a number
    text @5 :Content;  # UTF-8
    bytes @6 :Content;  # bytes that are no text
    list @7 :List(Value);  # values in order
    tuple @8 :List(Value);  # the same, of a kind that does not change
    dict @9 :List(Entry);  # keys with their values
    buffer @10 :Buffer;  # numbers side by side
    object @11 :UInt32;
    # What is not plain data: index into the `objects` of the message. 0xffffffff: no object at all.

    callback @12 :UInt32;
    # The same of an object that can be called and used in no other way; always one of the message's.
  }
}

struct NamedValue {
  name @0 :Text;   # of the parameter
  value @1 :Value;  # the argument
}

struct Entry {
  key @0 :Value;    # of a dict
  value @1 :Value;  # what it holds for it
}

struct Buffer {
  # Numbers of one kind, little endian, without gaps, the last index running fastest: numpy arrays, vectors.
  element @0 :Element;  # their kind
  shape @1 :List(UInt64);  # length of each dimension
  content @2 :Content;  # the product of `shape` elements
  list @3 :Bool;  # to be understood as a list of one dimension

  enum Element {
    # How one number is stored.
    bool @0;  # a byte, 0 or 1
    int8 @1;  # signed, two's complement
    int16 @2;  # the same, of 2 bytes
    int32 @3;  # the same, of 4 bytes
    int64 @4;  # the same, of 8 bytes
    uint8 @5;  # unsigned
    uint16 @6;  # the same, of 2 bytes
    uint32 @7;  # the same, of 4 bytes
    uint64 @8;  # the same, of 8 bytes
    float32 @9;  # IEEE 754
    float64 @10;  # the same, of 8 bytes
    complex64 @11;  # two float32: real and imaginary part
    complex128 @12;  # two float64
  }
}

struct Content {
  # Bytes: in the message, or, if they are many, beside it.
  union {
    inline @0 :Data;  # up to 256 KiB
    block @1 :UInt32;  # index into the `blocks` of the message
  }
}

struct Large {
  # What travels beside a message.
  block @0 :Block;  # who has the bytes
  size @1 :UInt64;  # how many there are
}
