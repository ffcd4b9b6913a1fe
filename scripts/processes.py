"""What scripts that start slaves share: finding what is built, slaves as processes, and who is left."""
import os
import signal
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def find(pattern):
    """An executable below the root, or None."""
    for path in ROOT.glob(pattern):
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    return None


class Slave:
    """A knee-slave on a Unix socket in `folder`. A process is known by its pid, never by its name."""

    def __init__(self, program, folder, name, slots, store=None, environment=None):
        self.name = name
        self.address = f"unix:{folder}/{name}.sock"
        self.words = [program, "--name", name, "--slots", str(slots), "--listen", self.address,
                      "--store", store or f"{folder}/{name}.store"]
        self.environment = dict(os.environ, TMPDIR=str(folder), **(environment or {}))
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.words, stderr=subprocess.DEVNULL, env=self.environment)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self):
        self.process.terminate()
        self.process.wait(30)

    def memory(self, line):
        """A line such as VmRSS or VmHWM of its status, in bytes."""
        for text in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if text.startswith(line + ":"):
                return int(text.split()[1]) * 1024
        return 0


def with_mark(mark):
    """Processes with `mark`, NAME=VALUE, in their environment, but for this one."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and int(entry.name) != os.getpid() and \
                    mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def survivors(mark, patience=5):
    """The same, given a moment to end."""
    deadline = time.monotonic() + patience
    while True:
        found = with_mark(mark)
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)
