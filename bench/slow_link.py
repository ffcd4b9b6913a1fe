"""A way to a slave on which everything takes its time."""
import queue
import socket
import threading
import time


class SlowLink:
    """Passes on what comes over the Unix socket `path` to the one at `target`, and back, each byte
    `delay` seconds later. Closing it takes no more connections; those that are there go on."""

    def __init__(self, path, target, delay):
        self.target, self.delay = target, delay
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        run(self.accept)

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while True:
            try:
                driver, _ = self.listener.accept()
            except OSError:
                return
            slave = socket.socket(socket.AF_UNIX)
            slave.connect(self.target)
            for source, sink in ((driver, slave), (slave, driver)):
                waiting = queue.SimpleQueue()
                run(self.read, source, waiting)
                run(self.write, sink, waiting)

    def read(self, source, waiting):
        data = None
        while data != b"":
            try:
                data = source.recv(1 << 16)
            except OSError:
                data = b""
            waiting.put((time.monotonic() + self.delay, data))

    def write(self, sink, waiting):
        while True:
            due, data = waiting.get()
            time.sleep(max(0, due - time.monotonic()))
            try:
                if not data:
                    return sink.shutdown(socket.SHUT_WR)
                sink.sendall(data)
            except OSError:
                return


def run(function, *arguments):
    threading.Thread(target=function, args=arguments, daemon=True).start()
