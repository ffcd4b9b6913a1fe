"""What the peers share: memory readings."""
from pathlib import Path


def resident_mb(process):
    """Resident memory of a process, a number or "self", in 10^6 bytes."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"cannot read the memory of process {process}")
