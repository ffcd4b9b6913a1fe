"""From the start of an RPyC server and of its client, two processes, to the client's first result."""
import json
import socket
import subprocess
import sys
import time

SERVER = """
import sys
from rpyc.core import SlaveService
from rpyc.utils.server import OneShotServer
OneShotServer(SlaveService, hostname="127.0.0.1", port=int(sys.argv[1])).start()
"""

CLIENT = """
import sys, time
import rpyc
while True:
    try:
        connection = rpyc.classic.connect("127.0.0.1", int(sys.argv[1]))
        break
    except ConnectionError:
        time.sleep(0.001)
print(connection.eval("2 * 21"))
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def main():
    port = free_port()
    start = time.perf_counter()
    server = subprocess.Popen([sys.executable, "-c", SERVER, port])
    try:
        client = subprocess.Popen([sys.executable, "-c", CLIENT, port], stdout=subprocess.PIPE)
        if client.stdout.readline() != b"42\n":
            sys.exit("no result came")
        seconds = time.perf_counter() - start
        client.wait()
    finally:
        server.kill()
        server.wait()
    print(json.dumps({"first_result_s": seconds}))


main()
