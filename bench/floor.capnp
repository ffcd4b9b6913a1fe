@0xc2f4a96d1b0e7735;
# The plainest service there is, to measure what Cap'n Proto itself costs.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("knee::bench");

interface Floor {
  call @0 (value :UInt64) -> (value :UInt64);
  # Gives the value back.

  write @1 (bytes :Data) -> stream;
  # Looks at no byte.

  done @2 ();
}
