"""What the checks ask of the cluster: instances, conditions, events, answers, databases. Does I/O."""

import base64
import http.client
import os
import shlex
import socket
import ssl
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import ADDRESS, CLUSTER, OWN, get, kubectl, run, tenantry, wait
from tryton import Tryton, wait_for_log_in

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
SYSTEM = "tenantry-system"
# Part of the names that checks beside the main flow give, so that they can run again on a cluster that was kept.
RUN = f"{int(time.time()) % 46656:x}"


def unique(word):
    return f"{word}-{RUN}"


def there(*words):
    return kubectl("get", *words, ok=False).returncode == 0


def instance(name):
    tenant, crm = name.split("/")
    spec = get("tenant", tenant)["spec"]
    return get("crm", crm, "-n", f"tenant-{spec['id']}")


def tenant_with(name, blueprint, *more, plan="fibo-1", ready=True):
    """A tenant with one instance `crm` under NAME.example."""
    # The first of a release of the real CRM is built as a template first, which takes minutes.
    words = ["--wait", "--timeout", "15m" if blueprint == "tryton" else "4m"] if ready else []
    tenantry("tenant", "create", name, "--blueprint", blueprint, "--plan", plan, "--host", f"{name}.example", *words, *more)


def condition(thing, kind):
    """A condition of an object as one dictionary; empty when there is none."""
    found = [c for c in thing.get("status", {}).get("conditions", []) if c["type"] == kind]
    return found[0] if found else {}


def says(name, kind, reason, seconds=120):
    """Waits until a condition of an instance is False for this reason; gives its message."""
    def said():
        found = condition(instance(name), kind)
        return found.get("status") == "False" and found["reason"] == reason and found["message"]
    return wait(f"{name} says {kind}: {reason}", said, seconds)


def ready(name, seconds=180):
    """Waits until an instance is Ready, for its present spec; gives the object."""
    def well():
        now = instance(name)
        status = now.get("status", {})
        fresh = status.get("observedGeneration") == now["metadata"]["generation"]
        return now if fresh and status["phase"] == "Ready" and condition(now, "Ready")["status"] == "True" else None
    return wait(f"{name} is Ready", well, seconds)


def serving(namespace):
    """Pods of processes that are not on their way out."""
    return [p for p in get("pods", "-n", namespace)["items"]
            if p["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet" and "deletionTimestamp" not in p["metadata"]]


def untouched(*names):
    """What would show that instances were disturbed: compare it before and after."""
    seen = {}
    for name in names:
        now = instance(name)
        pods = serving(now["metadata"]["namespace"])
        restarts = [(p["metadata"]["uid"], [c["restartCount"] for c in p["status"].get("containerStatuses", [])]) for p in pods]
        seen[name] = (now["status"]["phase"], now["status"].get("database"), sorted(restarts))
    return seen


def session(name, host, seconds=60):
    status = instance(name)["status"]
    crm = Tryton(ADDRESS, host, status["database"]["name"], status["release"])
    crm.timeout = seconds
    wait_for_log_in(crm, "admin", tenantry("instance", "password", name).stdout.strip(), seconds)
    return crm


def server_is(name, phase, seconds):
    """Waits until a database server is in this phase; gives the object."""
    def seen():
        server = get("dbs", name)
        return server if server["status"]["phase"] == phase else None
    return wait(f"server {name} is {phase}", seen, seconds)


def restarts(namespace):
    return {p["metadata"]["name"]: [c["restartCount"] for c in p["status"].get("containerStatuses", [])]
            for p in get("pods", "-n", namespace)["items"] if p["status"]["phase"] == "Running"}


def rush(name, host, people=24):
    """So many log in at one moment, each of which takes a Tryton 64 MiB: all come in, and no pod ends of it."""
    found = instance(name)
    namespace, status = found["metadata"]["namespace"], found["status"]
    password = tenantry("instance", "password", name).stdout.strip()
    before = restarts(namespace)

    def one(_):
        crm = Tryton(ADDRESS, host, status["database"]["name"], status["release"])
        crm.log_in("admin", password)
    with ThreadPoolExecutor(people) as many:
        list(many.map(one, range(people)))
    assert restarts(namespace) == before, (before, restarts(namespace))


def fetch(host, path="/"):
    request = urllib.request.Request(ADDRESS + path, headers={"Host": host})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def fetch_tls(host, port, authority, path="/"):
    """Asks over https as a browser does: the host by SNI, its name and the authority checked."""
    context = ssl.create_default_context(cafile=authority)
    connection = http.client.HTTPSConnection(host, port, timeout=20)
    plain = socket.create_connection(("127.0.0.1", port), timeout=20)
    try:
        connection.sock = context.wrap_socket(plain, server_hostname=host)
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
        plain.close()


def events(subject):
    items = get("billingevents", "-n", SYSTEM)["items"]
    mine = [e["spec"] for e in items if e["spec"]["subject"].endswith(subject)]
    return sorted(mine, key=lambda e: e["sequence"])


def kinds(subject):
    return [e["type"].removeprefix("dev.tenantry.") for e in events(subject)]


def nothing_is_billed_twice():
    """Every stream counts from 1 without gaps or repetitions, and no id is there twice."""
    streams = {}
    items = [e["spec"] for e in get("billingevents", "-n", SYSTEM)["items"]]
    assert len({e["id"] for e in items}) == len(items)
    for event in items:
        streams.setdefault(event["subject"], []).append(event["sequence"])
    for subject, numbers in streams.items():
        assert sorted(numbers) == list(range(1, len(numbers) + 1)), (subject, sorted(numbers))
    for subject in streams:
        installed = [e for e in items if e["subject"] == subject and e["type"] == "dev.tenantry.installed"]
        assert len(installed) <= 1, installed


def query(database, sql, user="postgres", password=None, server="pg-shared-1"):
    """Asks a managed PostgreSQL, from inside its pod."""
    words = ["psql", "-At", "-d", database, "-c", sql]
    if password is not None:
        words = ["env", f"PGPASSWORD={password}", "psql", "-At", "-h", "127.0.0.1", "-U", user, "-d", database, "-c", sql]
    return kubectl("-n", SYSTEM, "exec", f"dbs-{server}-0", "--", *words, ok=False)


def query_mariadb(server, database, sql, user=None, password=None):
    """Asks a managed MariaDB, from inside its pod; without a user as its administrator."""
    words = ["mariadb", "-N", "-B"]
    if user is not None:
        words = ["env", f"MYSQL_PWD={password}", "mariadb", "-N", "-B", "-h", "127.0.0.1", "-u", user]
    return kubectl("-n", SYSTEM, "exec", f"dbs-{server}-0", "--", *words, database, "-e", sql, ok=False)


def secret(namespace, name):
    data = get("secret", name, "-n", namespace)["data"]
    return {k: base64.b64decode(v).decode() for k, v in data.items()}


def access(name):
    """What an instance logs in to its database with."""
    now = instance(name)
    return secret(now["metadata"]["namespace"], f"{now['spec']['id']}-database-g{now['status']['dataGeneration']}")


def archives_of(tenant_id):
    return [a for a in get("archives")["items"] if a["spec"]["tenantId"] == tenant_id]


def operator_log(*more):
    """What all operator pods wrote."""
    selector = "app.kubernetes.io/name=tenantry,app.kubernetes.io/component=operator"
    return kubectl("-n", SYSTEM, "logs", "-l", selector, "--tail=-1", *more, ok=False).stdout


# A command that brings an archive to the nodes of a cluster that is not ours, such as `kind load image-archive`.
LOAD = shlex.split(os.environ.get("TENANTRY_E2E_LOAD", ""))


def load_image(archive):
    words = ["cluster", "load-image", "--name", CLUSTER] if OWN else LOAD
    run(*words, str(archive))
