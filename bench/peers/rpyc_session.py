"""RPyC's classic mode over loopback TCP: iteration over a remote list, and bytes fetched."""
import json
import multiprocessing
import time

import rpyc
from rpyc.core.service import ClassicService
from rpyc.utils.server import OneShotServer

ITEMS = 20_000  # of a list of 100,000; all of it takes many seconds
BYTES = 8 << 20


def serve(port):
    server = OneShotServer(ClassicService, hostname="127.0.0.1", port=0)
    port.put(server.port)
    server.start()


def main():
    port = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(port,), daemon=True)
    server.start()
    connection = rpyc.classic.connect("127.0.0.1", port.get())
    connection.execute("items = list(range(100000))")
    connection.execute("def data(): return bytes(8 << 20)")
    items = connection.namespace["items"]
    data = connection.namespace["data"]
    start = time.perf_counter()
    for count, _ in enumerate(items):
        if count == ITEMS:
            break
    items_per_s = ITEMS / (time.perf_counter() - start)
    rates = []
    for _ in range(7):
        start = time.perf_counter()
        assert len(data()) == BYTES
        rates.append(BYTES / (time.perf_counter() - start) / 1e6)
    connection.close()
    server.join(5)
    print(json.dumps({"items_per_s": items_per_s, "bytes_mb_per_s": sorted(rates)[3]}))


if __name__ == "__main__":
    main()
