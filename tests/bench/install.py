"""The first install of Tryton on a fresh server, beside a bare trytond-admin in an equal pod. Does I/O."""

import copy
import json
import os
import re
import sys
import threading
import time

from api import SYSTEM, WORK, kubectl
from create import secret, through_tenantry, until_ready
from report import detail, row

JOBS = f"/apis/batch/v1/namespaces/{SYSTEM}/jobs?labelSelector=tenantry.dev%2Fpurpose%3Dinstall"
BARE = "bare-install"


def until(what, condition, seconds=1800):
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end, f"waited {seconds} s in vain until {what}"
        time.sleep(0.2)


def warm(world, image="tenantry.local/tryton:7.0", folders="/opt/tryton /usr/lib/python3*"):
    """Reads every file of the image once, so that neither way is the first to read them from the disk."""
    name = "warm-" + re.sub("[:.]", "-", image.rpartition("/")[2])
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"}, "spec": {
        "restartPolicy": "Never", "containers": [{
            "name": "read", "image": image, "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", f"find {folders} -type f -exec cat {{}} + >/dev/null"]}]}}
    world.api.create("/api/v1/namespaces/default/pods", pod)
    path = "/api/v1/namespaces/default/pods/" + name
    until("the files are read", lambda: world.api.get(path)["status"]["phase"] in ("Succeeded", "Failed"))


def first_tenant(world):
    """The cold install through Tenantry. Returns the tenant's names, seconds to the job's end and to the log-in, and the job."""
    found = {}

    def follow(begin):
        job = until("the job is there", lambda: world.api.get(JOBS)["items"])[0]
        # Its Secret goes with its success.
        found["secret"] = secret(world.api, SYSTEM, job["metadata"]["name"])

        def finished():
            state = world.api.get(JOBS)["items"][0]
            kinds = [c["type"] for c in state.get("status", {}).get("conditions", []) if c["status"] == "True"]
            assert "Failed" not in kinds, "the install failed"
            return state if "Complete" in kinds else None

        found["job"] = until("the job has ended", finished)
        found["seconds"] = time.monotonic() - begin

    follower = threading.Thread(target=follow, args=(time.monotonic(),))
    follower.start()
    names, log_in_seconds, phases = through_tenantry(world.api, "install-t")
    follower.join()
    assert "seconds" in found, "the install job was not seen to its end"
    return names, log_in_seconds, phases.end(), found


def bare_pod(job, texts):
    """The Secret and the pod of a bare install: the job's own, without the agent."""
    role = next(word for word in json.loads(texts["steps.json"])["steps"][0]["command"] if word.startswith("tpl_"))
    name = job["metadata"]["name"]
    renamed = {key: text.replace(role, BARE.replace("-", "_")) for key, text in texts.items() if key != "steps.json"}
    step = json.loads(texts["steps.json"])["steps"][0]
    command = [word.replace(role, BARE.replace("-", "_")) for word in step["command"]]
    spec = copy.deepcopy(job["spec"]["template"]["spec"])
    spec.pop("initContainers")
    spec["volumes"] = [v for v in spec["volumes"] if v["name"] not in ("agent", "job")]
    container = spec["containers"][0]
    container["volumeMounts"] = [m for m in container["volumeMounts"] if m["name"] not in ("agent", "job")]
    container["command"] = ["sh", "-c", 'echo barePassword7x | TRYTONPASSFILE=/dev/stdin exec "$@"', "sh", *command]
    text = json.dumps(spec).replace(f'"{name}"', f'"{BARE}"')
    meta = {"name": BARE, "namespace": "default"}
    return role, [{"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": renamed},
                  {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": json.loads(text)}]


def bare_install(world, found):
    """Role and database by psql, the pod by kubectl; the seconds until it has ended well."""
    role, items = bare_pod(found["job"], found["secret"])
    uri = next(line for text in found["secret"].values() for line in text.splitlines() if line.startswith("uri = postgresql"))
    password = uri.split(f"{role}:")[1].split("@")[0]
    path = os.path.join(WORK, "bare-install.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"apiVersion": "v1", "kind": "List", "items": items}, file)
    name = BARE.replace("-", "_")
    begin = time.monotonic()
    world.psql(f"CREATE ROLE {name} LOGIN PASSWORD '{password}';\n"
               f"CREATE DATABASE {name} OWNER {name} TEMPLATE template0 ENCODING 'UTF8'")
    kubectl("apply", "--server-side", "-f", path)
    pod = "/api/v1/namespaces/default/pods/" + BARE

    def ended():
        phase = world.api.get(pod)["status"].get("phase")
        assert phase != "Failed", kubectl("logs", BARE, ok=False)[-2000:]
        return phase == "Succeeded"

    until("the bare install has ended", ended)
    return time.monotonic() - begin


def run(world, measured):
    """The figure `install`, and the first tenant for the figure `create`. Returns that tenant's names."""
    if measured:
        warm(world)
    names, log_in_seconds, phases, found = first_tenant(world)
    print(f"    tenantry {found['seconds']:.1f} s, log-in after {log_in_seconds:.1f} s  {phases}", file=sys.stderr, flush=True)
    if measured:
        until_ready(world.api, names)
        world.calm()
        seconds = bare_install(world, found)
        row("install", "command to a finished template, cold", "s", found["seconds"], seconds, "s bare trytond-admin",
            found["seconds"] / seconds)
        row("install", "command to the first log-in, cold", "s", log_in_seconds, seconds, "s bare trytond-admin",
            log_in_seconds / seconds)
        detail("install", phases=phases)
    return names
