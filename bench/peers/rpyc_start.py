"""From the start of an RPyC server and of its client, two processes, to the client's first result; and
what a server holds that no client has used."""
import json
import socket
import subprocess
import sys
import time

from resident import resident_mb

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

IDLE = """
from rpyc.core import SlaveService
from rpyc.utils.server import ThreadedServer
server = ThreadedServer(SlaveService, hostname="127.0.0.1", port=0)
print("bound", flush=True)
server.start()
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def idle_mb():
    server = subprocess.Popen([sys.executable, "-c", IDLE], stdout=subprocess.PIPE)
    try:
        if server.stdout.readline() != b"bound\n":
            sys.exit("no idle server came")
        time.sleep(0.3)  # it has come to rest
        return resident_mb(server.pid)
    finally:
        server.kill()
        server.wait()


def first_result():
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
    return seconds


print(json.dumps({"first_result_s": first_result(), "idle_mb": idle_mb()}))
