"""Many tenants of a product without a database, beside bare apply and Helm. Does I/O (Kubernetes)."""

import json
import queue
import random
import string
import threading
import time

import bare
import helm
from api import PATHS, SYSTEM, TENANTRY, Refused
from audit import Audit
from cost import Cost, disturbance, work
from objects import Pattern, applied
from report import detail, row

# As many requests at a time as the operator itself sends for tenants.
SUBMITTERS = 16
# Kinds of the objects that the operator makes for a tenant, in the order in which it applies them.
KINDS = ["Namespace", "RoleBinding", "ResourceQuota", "LimitRange", "NetworkPolicy", "ConfigMap", "Secret",
         "PersistentVolumeClaim", "Service", "Ingress", "Deployment", "CronJob"]
BLUEPRINT = {
    "title": "A product of the bench",
    "secrets": [{"name": "key"}],
    "files": [{"path": "/etc/product.conf",
               "content": "seats={{ plan.seats }}\nkey={{ secrets.key }}\nhost={{ instance.host }}\n"}],
    "releases": [{"version": "1.0", "image": "tenantry.local/product:1.0"}],
    "processes": [{"name": "web", "port": 8080, "serves": True, "replicas": {"default": 0, "max": 1}}],
}


def mint():
    """An id, as the command line mints it."""
    letters = string.ascii_lowercase
    return random.choice(letters) + "".join(random.choices(letters + string.digits, k=9))


def names_of(name):
    """What a tenant's objects are named after."""
    return {"tenant_id": mint(), "instance_id": mint(), "tenant_name": name, "host": f"{name}.bench.example"}


def tenant_of(names, plan):
    return {"apiVersion": "tenantry.dev/v1alpha1", "kind": "Tenant", "metadata": {"name": names["tenant_name"]},
            "spec": {"id": names["tenant_id"], "plan": plan}}


def instance_of(names, blueprint):
    labels = {"tenantry.dev/tenant-id": names["tenant_id"], "tenantry.dev/tenant": names["tenant_name"]}
    return {"apiVersion": "tenantry.dev/v1alpha1", "kind": "CrmInstance",
            "metadata": {"name": "crm", "namespace": f"tenant-{names['tenant_id']}", "labels": labels},
            "spec": {"id": names["instance_id"], "tenant": names["tenant_name"], "blueprint": blueprint, "host": names["host"]}}


def create_tenants(api, tenants, blueprint, plan="fibo-2", patience=1800):
    """What `tenant create` does, for many at once: the Tenant, its namespace awaited, the CrmInstance.

    The clock starts with the first Tenant, all are sent as fast as the API server takes them, and it stops when the
    last instance is Ready. Returns the seconds until then, and when each became Ready.
    """
    jobs, ready, failed = queue.Queue(), {}, []
    waiting = {f"tenant-{names['tenant_id']}": names for names in tenants}
    mine = {names["instance_id"] for names in tenants}
    done = threading.Event()
    collection = f"{TENANTRY}/crminstances"
    namespaces_from = api.get(PATHS["Namespace"] + "?limit=1")["metadata"]["resourceVersion"]
    instances_from = api.get(collection + "?limit=1")["metadata"]["resourceVersion"]

    def watch_namespaces():
        changes = api.watch(PATHS["Namespace"], namespaces_from, "app.kubernetes.io/managed-by=tenantry")
        while not done.is_set():
            try:
                kind, item = next(changes)
            except (StopIteration, TimeoutError):
                # Nothing changes any more.
                return
            names = waiting.get(item["metadata"]["name"]) if kind != "ERROR" else None
            if names and item.get("status", {}).get("phase") == "Active":
                del waiting[item["metadata"]["name"]]
                path = f"{TENANTRY}/namespaces/{item['metadata']['name']}/crminstances"
                jobs.put((path, instance_of(names, blueprint)))

    def watch_instances():
        for _, item in api.watch(collection, instances_from):
            number = item.get("spec", {}).get("id")
            if number in mine and number not in ready and item.get("status", {}).get("phase") == "Ready":
                ready[number] = time.monotonic()
                if len(ready) == len(mine):
                    done.set()
                    return

    def submit():
        while (job := jobs.get()) is not None:
            try:
                api.create(*job)
            except Refused as error:
                failed.append(str(error))
                done.set()

    for target in (watch_namespaces, watch_instances):
        threading.Thread(target=target, daemon=True).start()
    begin = time.monotonic()
    for names in tenants:
        jobs.put((f"{TENANTRY}/tenants", tenant_of(names, plan)))
    submitters = [threading.Thread(target=submit) for _ in range(SUBMITTERS)]
    for one in submitters:
        one.start()
    finished = done.wait(patience)
    for _ in submitters:
        jobs.put(None)
    for one in submitters:
        one.join()
    if failed or not finished:
        raise AssertionError(f"{len(ready)} of {len(mine)} instances became Ready; {failed[:3]}")
    return max(ready.values()) - begin, sorted(t - begin for t in ready.values())


def make_pattern(api, names):
    """The objects of a tenant that is Ready, as the operator applied them."""
    items = []
    labels = {"tenantry.dev/tenant-id": names["tenant_id"], "app.kubernetes.io/managed-by": "tenantry"}
    selector = "?labelSelector=" + ",".join(f"{k}%3D{v}" for k, v in labels.items())
    for kind in KINDS:
        if kind == "ConfigMap":
            # Claims lie with the operator; each names an id in one way or another.
            found = api.get(PATHS[kind].format(ns=SYSTEM))
            ids = (names["tenant_id"], names["instance_id"])
            found["items"] = [item for item in found["items"] if any(number in json.dumps(item) for number in ids)]
        else:
            found = api.get(PATHS[kind].format(ns=f"tenant-{names['tenant_id']}") + selector)
        version = found["apiVersion"]
        items += [applied({**item, "apiVersion": version, "kind": kind}) for item in found["items"]]
    return Pattern(items, names)


def settle(audit_of, quiet=3, patience=120):
    """Waits until controllers of the cluster have caught up: until nobody has written for some seconds."""
    for _ in range(patience):
        audit = audit_of()
        time.sleep(quiet)
        busy = sum(audit.count(f"system:serviceaccount:kube-system:{who}")["writes"] for who in
                   ("deployment-controller", "replicaset-controller", "endpointslice-controller", "endpoint-controller",
                    "service-account-controller", "root-ca-cert-publisher", "resourcequota-controller", "namespace-controller"))
        if busy == 0:
            return


def warm_up(world):
    """One tenant before the clock: the catalogue is read, the pattern of its objects is taken."""
    world.blueprint("bench", BLUEPRINT)
    names = names_of("bench-first")
    create_tenants(world.api, [names], "bench", patience=120)
    return make_pattern(world.api, names)


def make_fleet(world, count, prefix="bench"):
    """The fleet through Tenantry. Returns seconds, what the operator asked, and what it cost."""
    tenants = [names_of(f"{prefix}-{number:05}") for number in range(count)]
    audit, cost, before = Audit(world.state), Cost(operator=world.controller.process.pid), world.controller.reconciles()
    seconds, ready = create_tenants(world.api, tenants, "bench")
    spent = cost.so_far()
    settle(lambda: Audit(world.state))
    asked = audit.count()
    after = world.controller.reconciles()
    asked["reconciles"] = {k: v - before.get(k, 0) for k, v in after.items() if v > before.get(k, 0)}
    return seconds, ready, asked, spent


def run(world, count, releases):
    """The figure `fleet`."""
    pattern = warm_up(world)
    objects = len(pattern.items)

    def bare_apply(prefix, number):
        settle(lambda: Audit(world.state))
        return bare.apply_all([pattern.filled(**names_of(f"{prefix}-{n:05}")) for n in range(number)])

    # Half of the bare tenants before and half after, because a fuller cluster is slower.
    half = max(1, count // 2)
    before, cost_before = bare_apply("bare-a", half)
    settle(lambda: Audit(world.state))
    seconds, ready, asked, spent = make_fleet(world, count)
    after, cost_after = bare_apply("bare-b", half)
    settle(lambda: Audit(world.state))
    helm_cost = Cost()
    helm_seconds = helm.install_all(pattern, [names_of(f"helm-{n:05}") for n in range(releases)])
    helm_spent = helm_cost.so_far()
    others = disturbance(cost_before, spent, cost_after, helm_spent)

    rate, bare_rate, helm_rate = count / seconds, 2 * half / (before + after), releases / helm_seconds
    row("fleet", f"{count} tenants created and Ready", "/s", rate, bare_rate, "/s bare apply", rate / bare_rate, ">= 0.6")
    row("fleet", "the same beside Helm", "/s", rate, helm_rate, f"/s helm, {helm.AT_ONCE} at once", rate / helm_rate, ">= 15")
    used, bare_used = work(spent) / count, (work(cost_before) + work(cost_after)) / (2 * half)
    row("fleet", "processor time a tenant, all programs", "ms", 1000 * used, 1000 * bare_used, "ms bare apply", used / bare_used)
    writes = asked["writes"] / count
    # Here the last column is no ratio but what the goal speaks of.
    row("fleet", "writes a tenant; last: beyond its objects", "", writes, objects, "objects", writes - objects, "<= 6")
    row("fleet", "reads a tenant", "", asked["reads"] / count, 0, "bare", None)
    row("fleet", "machine taken by other programs", "%", 100 * others, None, "-", None)
    detail("fleet", tenants=count, objects=[f"{i['kind']} {i['metadata']['name']}" for i in pattern.items],
           seconds=seconds, first_ready=ready[0], median_ready=ready[len(ready) // 2], asked=asked, cost=spent,
           bare_seconds=[before, after], bare_cost=[cost_before, cost_after], helm_seconds=helm_seconds, helm_cost=helm_spent)
