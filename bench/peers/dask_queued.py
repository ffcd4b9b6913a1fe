"""Dask: what a queued future costs client and scheduler, both in this process, while no worker is there."""
import json
import os
import time

from distributed import Client, LocalCluster
from resident import resident_mb

FUTURES = 10_000


def same(value):
    return value


def main():
    cluster = LocalCluster(n_workers=0, dashboard_address=None, host="127.0.0.1")
    client = Client(cluster)

    def queue(values):
        futures = [client.submit(same, value, pure=False) for value in values]
        wanted = values[-1] + 1
        deadline = time.monotonic() + 100
        while len(cluster.scheduler.tasks) < wanted:
            if time.monotonic() > deadline:
                raise RuntimeError("the scheduler did not get all futures")
            time.sleep(0.05)
        return futures

    kept = queue(range(100))
    before = resident_mb("self")
    kept += queue(range(100, 100 + FUTURES))
    grown = resident_mb("self") - before
    print(json.dumps({"bytes_per_future": grown * 1e6 / FUTURES}), flush=True)
    os._exit(0)  # the futures need not be cancelled one by one


if __name__ == "__main__":
    main()
