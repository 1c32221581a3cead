"""Bare server-side apply: the same objects, the same number of tenants at a time, nothing else. Does I/O (HTTPS).

Workers are processes with some threads each, so that Python's lock does not hold them up.
"""

import json
import multiprocessing
import threading
import time

from api import APPLY, Api, path_of
from cost import Cost

# The operator works on 16 tenants at a time (operator/src/runtime/run.rs).
AT_ONCE = 16
PROCESSES = 4
QUERY = "?fieldManager=bench&force=true&fieldValidation=Strict"


def work(queue, start, errors, used):
    """One process: takes tenants from the queue, and applies the objects of each in their order."""
    api = Api()

    def thread():
        while (requests := queue.get()) is not None:
            for path, body in requests:
                code, data = api.raw("PATCH", path, body, APPLY)
                if code >= 300:
                    errors.put(f"{path}: {code} {data[:300]!r}")

    api.raw("GET", "/version")
    threads = [threading.Thread(target=thread) for _ in range(AT_ONCE // PROCESSES)]
    start.wait()
    before = time.process_time()
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    used.put(time.process_time() - before)


def apply_all(tenants):
    """Applies the objects of all tenants. Returns the seconds that it took, and what it cost."""
    # Fresh processes: one that is forked beside running threads may inherit a lock that nobody opens.
    fresh = multiprocessing.get_context("spawn")
    queue, errors, used = fresh.Queue(), fresh.Queue(), fresh.Queue()
    start = fresh.Barrier(PROCESSES + 1, timeout=120)
    workers = [fresh.Process(target=work, args=(queue, start, errors, used), daemon=True) for _ in range(PROCESSES)]
    for one in workers:
        one.start()
    ready = [[(path_of(item) + QUERY, json.dumps(item)) for item in items] for items in tenants]
    start.wait()
    cost, begin = Cost(), time.monotonic()
    for requests in ready:
        queue.put(requests)
    for _ in range(AT_ONCE):
        queue.put(None)
    for one in workers:
        one.join()
    seconds, spent = time.monotonic() - begin, cost.so_far()
    # Of its processes only the work counts, not their start.
    started = spent.pop("its children", 0)
    spent["its children"] = round(sum(used.get() for _ in workers), 2)
    spent["others"] = round(spent["others"] + started - spent["its children"], 2)
    if not errors.empty():
        raise AssertionError(f"bare apply was refused: {errors.get()}")
    return seconds, spent
