"""Turns between the processes that run checks side by side: a room for all of them, and things that one has at a time.
Does I/O (locks of files)."""

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path

FOLDER = "TENANTRY_E2E_TURNS"


def path(name):
    return Path(os.environ[FOLDER]) / name


@contextmanager
def locked(name, how=fcntl.LOCK_EX):
    with path(name).open("a") as lock:
        fcntl.flock(lock, how)
        yield


@contextmanager
def room(alone):
    """A check is in the room while it runs: with the others, or alone. Whoever waits for an empty room stands in the door,
    so that those who come later wait behind."""
    with path("room").open("a") as lock:
        with locked("door"):
            fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def over(name):
    """Says to the others that something is over."""
    path(name).touch()


def until_over(name, seconds=1800):
    end = time.monotonic() + seconds
    while not path(name).exists():
        assert time.monotonic() < end, f"waited {seconds} s in vain until {name}"
        time.sleep(0.2)
