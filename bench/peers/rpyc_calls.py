"""RPyC over loopback TCP: synchronous calls through a kept netref, and pipelined asynchronous calls."""
import json
import multiprocessing
import time

import rpyc
from rpyc.utils.server import OneShotServer

CALLS = 5000
PIPELINED = 20000
IN_FLIGHT = 1000


class Same(rpyc.Service):
    def exposed_same(self, value):
        return value


def serve(port):
    server = OneShotServer(Same, hostname="127.0.0.1", port=0)
    port.put(server.port)
    server.start()


def main():
    port = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(port,), daemon=True)
    server.start()
    connection = rpyc.connect("127.0.0.1", port.get())
    same = connection.root.same  # the netref is kept: looking it up is a call of its own
    for _ in range(CALLS // 10):
        same(1)
    start = time.perf_counter()
    for value in range(CALLS):
        same(value)
    call_us = (time.perf_counter() - start) / CALLS * 1e6

    later = rpyc.async_(same)
    start = time.perf_counter()
    for _ in range(PIPELINED // IN_FLIGHT):
        results = [later(value) for value in range(IN_FLIGHT)]
        for result in results:
            result.wait()
    per_s = PIPELINED / (time.perf_counter() - start)
    connection.close()
    server.join(5)
    print(json.dumps({"call_us": call_us, "pipelined_per_s": per_s}))


if __name__ == "__main__":
    main()
