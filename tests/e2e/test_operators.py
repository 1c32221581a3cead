"""The operator itself: two of them, and objects that it cannot read. Does I/O."""

import copy
import json

from chart import install, leader, operators
from harness import apply, get, kubectl, tenantry, wait
from marks import alone
from products import notes
from world import (SYSTEM, fetch, instance, kinds, nothing_is_billed_twice, operator_log, ready, session, tenant_with, there,
                   unique, untouched)

pytestmark = alone("kills the operator, or gives it what it cannot read")


def test_the_operator_can_be_killed_in_the_middle_of_an_install(acme):
    # The template is there since acme: the install is as short as most are.
    name = unique("delta")
    crm, host = f"{name}/crm", f"crm.{name}.example"
    tenantry("tenant", "create", name, "--blueprint", "tryton", "--plan", "fibo-1", "--host", host)
    kubectl("-n", SYSTEM, "delete", "pod", "-l", "app.kubernetes.io/name=tenantry", "--grace-period=0", "--force")
    wait(f"{name} is Ready", lambda: instance(crm)["status"]["phase"] == "Ready", 180)
    session(crm, host)
    assert kinds(instance(crm)["spec"]["id"]) == ["installed"]


def test_of_two_operators_one_leads_and_the_other_takes_over_when_it_is_killed(operator):
    blueprint, first, second = unique("pair"), unique("led"), unique("taken")
    apply(notes(blueprint))
    install("--set", "replicas=2")
    try:
        old, pods = wait("one of two leads", leader, 60), operators()
        standing_by, = pods - {old}
        lines = kubectl("-n", SYSTEM, "logs", standing_by).stdout
        assert "standing by" in lines and '"leading"' not in lines, lines[-2000:]
        tenant_with(first, blueprint)
        # Killed without a word in the middle of an install: the Lease must run out.
        tenant_with(second, blueprint, ready=False)
        kubectl("-n", SYSTEM, "delete", "pod", old, "--grace-period=0", "--force")
        new = wait("another one leads", lambda: (lambda l: l if l and l != old else None)(leader()), 60)
        # Or the one that Kubernetes started for it: both stood by when the Lease ran out.
        assert new in operators() and new != old, (old, new, pods)
        ready(f"{second}/crm", 120)
        for name in (first, second):
            assert kinds(instance(f"{name}/crm")["spec"]["id"]) == ["installed"], name
            assert fetch(f"{name}.example", "/healthz")[0] == 200
        nothing_is_billed_twice()
    finally:
        install("--set", "replicas=1")
    wait("one is left", lambda: len(operators()) == 1, 60)
    wait("it leads", leader, 60)


class Unchecked:
    """A kind whose spec the API server does not check for a moment, so that anything can be stored."""

    def __init__(self, definition):
        self.name = definition
        self.kept = get("crd", definition)["spec"]

    def __enter__(self):
        open_spec = copy.deepcopy(self.kept)
        for version in open_spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            schema["properties"]["spec"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            schema.pop("x-kubernetes-validations", None)
        self.put(open_spec)

    def __exit__(self, *_):
        self.put(self.kept)

    def put(self, spec):
        patch = [{"op": "replace", "path": "/spec", "value": spec}]
        kubectl("patch", "crd", self.name, "--type=json", "-p", json.dumps(patch))


def stored(definition, thing):
    """Stores an object that its kind forbids."""
    with Unchecked(definition):
        def made():
            apply(thing)
            return True
        wait("the API server takes it", made, 30)


def test_an_object_that_cannot_be_read_is_named_and_holds_nobody_else_up(acme):
    blueprint, well, tenant, crm = unique("sound"), unique("well"), unique("unread"), unique("unread")
    apply(notes(blueprint))
    namespace = instance(acme)["metadata"]["namespace"]
    before = untouched(acme)
    head = {"apiVersion": "tenantry.dev/v1alpha1"}
    # A seat count that is a text, and a host that is a list: no version of the program wrote these.
    stored("tenants.tenantry.dev", {**head, "kind": "Tenant", "metadata": {"name": tenant},
                                    "spec": {"plan": "fibo-1", "seats": "many"}})
    stored("crminstances.tenantry.dev", {**head, "kind": "CrmInstance", "metadata": {"name": crm, "namespace": namespace},
                                         "spec": {"tenant": "acme", "blueprint": "tryton", "host": ["a.example"]}})
    try:
        # Those that were watched before, those that come after, and a new process all do their work.
        kubectl("-n", SYSTEM, "rollout", "restart", "deployment/tenantry-operator")
        kubectl("-n", SYSTEM, "rollout", "status", "deployment/tenantry-operator", "--timeout=60s")
        tenant_with(well, blueprint, ready=False)
        ready(f"{well}/crm", 60)
        tenantry("tenant", "suspend", well, "--wait", "--timeout", "1m")
        tenantry("tenant", "resume", well, "--wait", "--timeout", "1m")
        ready(f"{well}/crm", 60)
        wait("the operator names the objects", lambda: all(
            any(name in line and ("seats" in line or "host" in line or "cannot be read" in line)
                for line in operator_log().splitlines()) for name in (tenant, crm)), 60)
        assert untouched(acme) == before
        assert well in tenantry("tenant", "list").stdout
    finally:
        kubectl("delete", "tenant", tenant, "--wait=false", ok=False)
        kubectl("delete", "crm", crm, "-n", namespace, "--wait=false", ok=False)
    wait("they can be deleted", lambda: not there("tenant", tenant) and not there("crm", crm, "-n", namespace), 30)
