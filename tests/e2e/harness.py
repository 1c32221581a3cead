"""Small helpers of the end-to-end suite: commands, waiting, a list of checks. Does I/O (child processes)."""

import json
import os
import subprocess
import sys
import time
import traceback

CLUSTER = os.environ["TENANTRY_E2E_CLUSTER"]
ADDRESS = os.environ["TENANTRY_E2E_ADDRESS"]
CHECKS = []


def check(function):
    """Registers a check; its name, read as a sentence, is what it proves. Checks run in their order."""
    CHECKS.append(function)
    return function


def slow(function):
    """Registers a check that takes minutes and has faster kin: `make test-all` runs it, or whoever names it."""
    return check(function) if os.environ.get("TENANTRY_TEST_ALL") or sys.argv[1:] else function


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
    return run("cluster", "kubectl", "--name", CLUSTER, *words, **options)


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


def chosen(words):
    """The checks in whose file's name or sentence one of these begins a word; all of them without words."""
    named = [(f" {f.__module__} {f.__name__}".replace("_", " "), f) for f in CHECKS]
    return [f for name, f in named if not words or any(" " + w.replace("_", " ") in name for w in words)]


def main():
    """Runs the checks named on the command line, or all; a failed one does not hide the others."""
    passed = failed = 0
    begin = time.monotonic()
    for function in chosen(sys.argv[1:]):
        sentence = function.__name__.replace("_", " ")
        start = time.monotonic()
        try:
            function()
            passed += 1
            print(f"  ok    {sentence} ({time.monotonic() - start:.1f} s)", flush=True)
        except Exception:  # noqa: BLE001 every failure is shown and counted
            failed += 1
            print(f"  FAIL  {sentence} ({time.monotonic() - start:.1f} s)", flush=True)
            traceback.print_exc(file=sys.stdout)
    if failed:
        log = kubectl("-n", "tenantry-system", "logs", "deploy/tenantry-operator", "--tail=60", ok=False)
        print(log.stdout[-6000:])
        print(kubectl("get", "tenants,crm,dbs,arc,pods", "-A", "-o", "wide", ok=False).stdout)
    print(f"{passed} passed, {failed} failed in {time.monotonic() - begin:.0f} s", flush=True)
    return 1 if failed or not passed else 0
