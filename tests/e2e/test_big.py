"""A big customer: several pods of a process, nodes of its own, a database server of its own. Does I/O."""

import json
import threading

import pytest
from harness import apply, get, kubectl, tenantry, wait
from products import notes
from tryton import RpcError
from world import SYSTEM, condition, fetch, instance, ready, says, server_is, session, tenant_with, there, unique, untouched

# Run inside a pod, so that it is this one that answers. The password comes on standard input, with the program.
INSIDE = """
import base64, json, urllib.request
def call(path, method, params, headers={}):
    body = json.dumps({"id": 1, "method": method, "params": params}).encode()
    request = urllib.request.Request("http://127.0.0.1:8000" + path, body, {"Content-Type": "application/json", **headers})
    answer = json.load(urllib.request.urlopen(request, timeout=60))
    assert not answer.get("error"), answer
    return answer["result"]
path = "/%(database)s/"
uid, token = call(path, "common.db.login", ["admin", {"password": %(password)r}, "en"])[:2]
head = {"Authorization": "Session " + base64.b64encode(f"admin:{uid}:{token}".encode()).decode()}
print(call(path, "model.party.party.read", [[%(party)d], ["name"], {}], head)[0]["name"])
"""


def pods(now, process="web"):
    """Pods of a process that are not on their way out, by name."""
    found = get("pods", "-n", now["metadata"]["namespace"], "-l",
                f"tenantry.dev/instance-id={now['spec']['id']},tenantry.dev/process={process}")["items"]
    return {p["metadata"]["name"]: p for p in found if "deletionTimestamp" not in p["metadata"]}


def is_ready(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))


def gone(now):
    """Waits until no pod is on its way out: one that was told to end still answers for a while."""
    ours = ("pods", "-n", now["metadata"]["namespace"], "-l", f"tenantry.dev/instance-id={now['spec']['id']}")
    wait("the old pods are gone", lambda: not [p for p in get(*ours)["items"] if p["metadata"].get("deletionTimestamp")], 60)


def answers(host):
    status, body = fetch(host, "/healthz")
    if status != 200:
        raise ValueError(f"{status} {body}")


def budget(now):
    return there("pdb", f"{now['spec']['id']}-web", "-n", now["metadata"]["namespace"])


class Asking:
    """Asks an application all the time; what failed is found at the end."""

    def __init__(self, question):
        self.question, self.end, self.asked, self.failed = question, threading.Event(), 0, []
        self.thread = threading.Thread(target=self.ask, daemon=True)

    def ask(self):
        while not self.end.wait(0.1):
            try:
                self.question()
                self.asked += 1
            except (RpcError, OSError, ValueError) as error:
                self.failed.append(repr(error))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join(120)


@pytest.fixture(scope="module")
def customer(operator):
    """The name of a tenant with a Tryton, at NAME.example."""
    name = unique("wide")
    tenant_with(name, "tryton", plan="fibo-2")
    return name


def test_two_web_pods_serve_one_tryton_side_by_side_and_become_one_again(customer):
    crm_name, host = f"{customer}/crm", f"{customer}.example"
    before = ready(crm_name)
    first, = pods(before)
    crm = session(crm_name, host)
    party = crm.make_party(unique("Big customer"))
    with Asking(lambda: crm.call("model.party.party.search", [], 0, 1, None, {})) as asking:
        tenantry("instance", "set", crm_name, "--replicas", "web=2", "--wait", "--timeout", "4m")
        now = ready(crm_name)
        two = pods(now)
        assert len(two) == 2 and first in two and all(is_ready(p) for p in two.values()), two
        assert two[first]["status"]["containerStatuses"][0]["restartCount"] == 0, "the first pod was started anew"
        assert budget(now)
        assert "2 of web" in tenantry("instance", "show", crm_name).stdout
        # Each of them knows the record, and a session of its own.
        password = tenantry("instance", "password", crm_name).stdout.strip()
        words = {"database": now["status"]["database"]["name"], "password": password, "party": party}
        for pod in two:
            said = kubectl("-n", now["metadata"]["namespace"], "exec", "-i", pod, "--", "python", "-", stdin=INSIDE % words)
            assert said.stdout.strip() == unique("Big customer"), (pod, said)
        # A session made through the ingress holds whichever pod answers.
        for _ in range(20):
            again = session(crm_name, host)
            assert again.party(party)["name"] == unique("Big customer")
        # What one changed the other shows: the name is written and read through whichever answers.
        for turn in range(10):
            crm.call("model.party.party.write", [party], {"name": f"turn {turn}"}, {})
            assert session(crm_name, host).party(party)["name"] == f"turn {turn}", turn
        tenantry("instance", "set", crm_name, "--replicas", "web=default", "--wait", "--timeout", "2m")
        now = ready(crm_name)
        wait("one pod is left", lambda: len(pods(now)) == 1, 60)
        gone(now)
    assert set(pods(now)) <= set(two), "the pod that is left is none of the two"
    assert not budget(now)
    assert asking.asked > 20, asking.asked
    assert not asking.failed, asking.failed
    assert "of web" not in tenantry("instance", "show", crm_name).stdout


def test_more_pods_than_the_blueprint_bears_are_refused_with_the_number_it_bears(customer):
    crm_name, host = f"{customer}/crm", f"{customer}.example"
    before = untouched(crm_name)
    answer = tenantry("instance", "create", f"{customer}/many", "--blueprint", "tryton", "--host", f"many-{customer}.example", "--replicas", "web=5", ok=False)
    assert answer.returncode == 4 and "4" in answer.stderr and not there("crm", "many", "-n", instance(crm_name)["metadata"]["namespace"]), answer
    tenantry("instance", "set", crm_name, "--replicas", "web=5")
    try:
        said = says(crm_name, "SpecValid", "Invalid", 60)
        assert "spec.replicas.web" in said and "4 at most" in said, said
        assert session(crm_name, host).version().startswith("7.0")
    finally:
        tenantry("instance", "set", crm_name, "--replicas", "web=default", "--wait", "--timeout", "2m")
    assert untouched(crm_name) == before


def test_nodes_that_do_not_exist_are_told_while_the_old_pod_serves_and_a_label_ends_the_wait(operator):
    name, node = unique("placed"), get("nodes")["items"][0]["metadata"]["name"]
    product = notes(name)
    product["spec"]["processes"][0].update({"strategy": "rolling", "replicas": {"default": 1, "max": 2}})
    apply(product)
    tenant_with(name, name)
    first, = pods(ready(f"{name}/crm"))
    tenantry("instance", "set", f"{name}/crm", "--node-selector", f"pool={name}", "--toleration", f"for={name}:NoSchedule")
    said = says(f"{name}/crm", "ProcessesReady", "NoNode", 90)
    assert "no node takes the pod" in said, said
    assert first in pods(instance(f"{name}/crm")) and fetch(f"{name}.example", "/healthz")[0] == 200
    shown = tenantry("instance", "show", f"{name}/crm").stdout
    assert f"only with pool={name}" in shown and f"for={name}:NoSchedule" in shown and "NoNode" in shown, shown
    # Both ways the pods are exchanged without a request that fails.
    with Asking(lambda: answers(f"{name}.example")) as asking:
        try:
            kubectl("label", "node", node, f"pool={name}")
            now = ready(f"{name}/crm", 120)
            wait("the old pod is gone", lambda: first not in pods(now), 60)
            placed, = pods(now).values()
            assert placed["spec"]["nodeSelector"] == {"pool": name}, placed["spec"]
            assert any(t.get("key") == "for" and t.get("value") == name for t in placed["spec"]["tolerations"]), placed["spec"]
        finally:
            kubectl("label", "node", node, "pool-")
        # And back to any node, by words alone.
        tenantry("instance", "set", f"{name}/crm", "--node-selector", "nowhere=x")
        says(f"{name}/crm", "ProcessesReady", "NoNode", 90)
        tenantry("instance", "set", f"{name}/crm", "--node-selector", "none", "--toleration", "none", "--wait", "--timeout", "2m")
        now = ready(f"{name}/crm", 60)
        placed = list(pods(now).values())
        assert all("nodeSelector" not in p["spec"] for p in placed), placed
        gone(now)
    assert asking.asked > 20 and not asking.failed, (asking.asked, asking.failed)


def test_a_server_that_is_set_aside_holds_its_own_tenant_and_nobody_else(operator):
    plan, product, server = unique("own"), unique("aside"), unique("pg-own")
    big, small = unique("big"), unique("small")
    limits = {"storage": "1G", "seats": 5}
    apply({"apiVersion": "tenantry.dev/v1alpha1", "kind": "Plan", "metadata": {"name": plan},
           "spec": {**limits, "databaseTenancy": "dedicated"}})
    apply(notes(product))
    tenant_with(big, product, plan=plan, ready=False)
    said = says(f"{big}/crm", "DatabaseReady", "NoDatabaseServer", 60)
    assert "the plan promises an own server" in said, said
    own = get("tenant", big)["spec"]["id"]
    node = get("nodes")["items"][0]["metadata"]["labels"]["kubernetes.io/hostname"]
    apply({"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": server}, "spec": {
        "engine": "postgresql", "dedicatedTo": own, "connectionsPerTenant": 40, "managed": {
            "image": "tenantry.local/postgresql:15", "storage": "1G",
            "scheduling": {"nodeSelector": {"kubernetes.io/hostname": node}}}}})
    server_is(server, "Ready", 120)
    assert ready(f"{big}/crm", 120)["status"]["database"]["server"] == server
    pod = get("pod", "-n", SYSTEM, f"dbs-{server}-0")
    assert pod["spec"]["nodeSelector"] == {"kubernetes.io/hostname": node}, pod["spec"]
    # Another one is not placed there: not by name, and not when it wants a server of its own.
    tenant_with(small, product, "--database-server", server, ready=False)
    said = says(f"{small}/crm", "DatabaseReady", "NoDatabaseServer", 60)
    assert "belongs to another tenant" in said, said
    assert condition(get("dbs", server), "Ready")["status"] == "True"
    wait("the server holds one database", lambda: get("dbs", server)["status"]["databases"] == 1, 120)
    # Nor do its network rules lead there; those of the owner do.
    rules = lambda t: json.dumps(get("networkpolicy", "-n", f"tenant-{get('tenant', t)['spec']['id']}"))  # noqa: E731
    assert server in rules(big) and server not in rules(small)
    for name in (big, small):
        tenantry("tenant", "archive", name, "--confirm", name)
    tenantry("tenant", "purge", big, "--confirm", big, "--before-retention")
    kubectl("delete", "dbs", server, "--wait=false")
    wait("the server is gone", lambda: not there("dbs", server), 120)
