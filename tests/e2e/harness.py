"""Small helpers of the end-to-end suite: commands, and waiting for what should come or must stay. Does I/O (child processes)."""

import json
import os
import subprocess
import time

# The name of our own test cluster; empty on a cluster that somebody else made.
CLUSTER = os.environ.get("TENANTRY_E2E_CLUSTER", "")
OWN = bool(CLUSTER)
# Where the ingress controller answers.
ADDRESS = os.environ.get("TENANTRY_E2E_ADDRESS", "")
KUBECTL = ["cluster", "kubectl", "--name", CLUSTER] if OWN else ["kubectl"]


def run(*words, ok=True, stdin=None, timeout=1200, env=None):
    """Runs a command. Returns its result; one that fails is an error unless `ok` is False."""
    env = {**os.environ, **env} if env else None
    result = subprocess.run(words, input=stdin, text=True, capture_output=True, timeout=timeout, env=env)
    if ok and result.returncode != 0:
        shown = " ".join(words)
        raise AssertionError(f"{shown}\nexit {result.returncode}\n{result.stdout[-3000:]}\n{result.stderr[-3000:]}")
    return result


def tenantry(*words, **options):
    return run("tenantry", *words, **options)


def kubectl(*words, **options):
    return run(*KUBECTL, *words, **options)


def get(*words):
    return json.loads(kubectl("get", *words, "-o", "json").stdout)


def apply(*objects):
    """Applies objects as a person would; one that is refused is an error with the server's words."""
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=items)


def wait(what, condition, seconds=120):
    """Waits until `condition()` is true and returns its value."""
    end = time.monotonic() + seconds
    last = None
    while time.monotonic() < end:
        try:
            value = condition()
            if value:
                return value
        except (AssertionError, OSError, KeyError, ValueError) as error:
            last = error
        time.sleep(0.5)
    raise AssertionError(f"waited {seconds} s in vain until {what}; last: {last}")


def stays(what, condition, seconds=5):
    """Looks for some time whether `condition()` stays true. What must not happen has no moment at which it has not
    happened, so this takes its time; it fails as soon as it does happen."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert condition(), f"it did not stay so: {what}"
        time.sleep(0.5)
