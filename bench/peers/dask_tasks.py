"""Dask: a future per task, two worker processes of one thread, nothing held back in the scheduler; and what
a worker holds before its first task."""
import json
import os
import time

import dask
from distributed import Client, LocalCluster
from resident import resident_mb

TASKS = 5000


def same(value):
    return value


def main():
    dask.config.set({"distributed.scheduler.worker-saturation": "inf"})
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                      host="127.0.0.1") as cluster, Client(cluster) as client:
        idle_mb = max(resident_mb(worker) for worker in client.run(os.getpid).values())
        client.gather(client.map(same, range(500), pure=False))
        start = time.perf_counter()
        futures = [client.submit(same, value, pure=False) for value in range(TASKS)]
        client.gather(futures)
        per_s = TASKS / (time.perf_counter() - start)
        for _ in range(20):
            client.submit(same, 1, pure=False).result()
        start = time.perf_counter()
        for _ in range(200):
            client.submit(same, 1, pure=False).result()
        call_us = (time.perf_counter() - start) / 200 * 1e6
    print(json.dumps({"tasks_per_s": per_s, "call_us": call_us, "idle_mb": idle_mb}))


if __name__ == "__main__":
    main()
