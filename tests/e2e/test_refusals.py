"""What cannot be is refused with the field and the remedy, and leaves nothing half made. Does I/O."""

import json

from harness import KUBECTL, apply, get, kubectl, run, tenantry, wait
from marks import alone
from products import notes, page
from world import ROOT, SYSTEM, fetch, instance, query, ready, says, tenant_with, there, unique, untouched


def refused(thing, *words):
    answer = kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(thing), ok=False)
    assert answer.returncode != 0, thing
    for word in words:
        assert word in answer.stderr, (word, answer.stderr)
    return answer


def ours(kind, name, spec, **meta):
    return {"apiVersion": "tenantry.dev/v1alpha1", "kind": kind, "metadata": {"name": name, **meta}, "spec": spec}


def test_storage_never_shrinks_whoever_asks(operator):
    name = unique("vast")
    volume = [{"name": "files", "mountPath": "/var/lib/page", "percentOfStorage": 50}]
    apply(page(name, volumes=volume))
    tenant_with(name, name, "--storage", "40G", plan="fibo-2")
    namespace = instance(f"{name}/crm")["metadata"]["namespace"]
    size = lambda: get("pvc", "-n", namespace)["items"][0]["spec"]["resources"]["requests"]["storage"]  # noqa: E731
    before = size()
    answer = tenantry("tenant", "set", name, "--storage", "30G", ok=False)
    assert answer.returncode == 4 and "storage cannot shrink" in answer.stderr and "archive the tenant" in answer.stderr, answer
    patch = kubectl("patch", "tenant", name, "--type=merge", "-p", '{"spec":{"storage":"30G"}}', ok=False)
    assert patch.returncode != 0 and "storage cannot shrink" in patch.stderr, patch
    server = get("dbs", "pg-shared-1")
    smaller = {**server["spec"], "managed": {**server["spec"]["managed"], "storage": "1G"}}
    refused(ours("DatabaseServer", "pg-shared-1", smaller), "managed.storage cannot shrink")
    # A smaller plan is allowed: the limit falls, the volume stays.
    tenantry("tenant", "set", name, "--plan", "fibo-1", "--wait", "--timeout", "2m")
    ready(f"{name}/crm", 60)
    assert size() == before and get("tenant", name)["spec"]["storage"] == "40G"


def test_names_that_are_too_long_or_wrong_are_refused_with_their_limit(acme):
    long = "a" * 41
    answer = tenantry("tenant", "create", long, "--blueprint", "tryton", "--plan", "fibo-1", "--host", "long.example", ok=False)
    assert answer.returncode in (2, 4) and "40" in answer.stderr, answer
    assert not there("tenant", long)
    refused(ours("Tenant", long, {"plan": "fibo-1"}), "metadata.name is too long", "at most 40")
    refused(ours("Tenant", "9lives", {"plan": "fibo-1"}), "metadata.name must be lower-case letters")
    namespace = instance("acme/crm")["metadata"]["namespace"]
    refused(ours("CrmInstance", "b" * 31, {"tenant": "acme", "blueprint": "tryton", "host": "b.example"}, namespace=namespace),
            "metadata.name is too long", "at most 30")
    refused(ours("CrmInstance", "second", {"tenant": "acme", "blueprint": "tryton", "host": "Not_A_Host"}, namespace=namespace),
            "spec.host")
    assert [c["metadata"]["name"] for c in get("crm", "-n", namespace)["items"]] == ["crm"]


def test_a_plan_that_contradicts_itself_or_is_changed_is_refused(operator):
    name = unique("plan")
    refused(ours("Plan", name, {"storage": "1G", "seats": 3, "unlimitedSeats": True}), "either seats or unlimitedSeats")
    refused(ours("Plan", name, {"storage": "1G"}), "either seats or unlimitedSeats")
    refused(ours("Plan", name, {"storage": "0", "seats": 3}), "storage must be more than 0")
    crossed = {"memoryRequest": "1Gi", "memoryLimit": "512Mi"}
    refused(ours("Plan", name, {"storage": "1G", "seats": 3, "resources": crossed}), "spec.resources", "memoryRequest is above")
    assert not there("plan", name)
    fibo = get("plan", "fibo-1")["spec"]
    refused(ours("Plan", "fibo-1", {**fibo, "seats": 99}), "a Plan cannot be changed", "tenantry tenant set")


def remains(now):
    """What was made for an instance besides its tenant's own namespace."""
    own, namespace = now["spec"]["id"], now["metadata"]["namespace"]
    found = get("deployments,services,ingresses,secrets,pvc,jobs", "-n", namespace, "-l", f"tenantry.dev/instance-id={own}")
    claims = get("configmaps", "-n", SYSTEM, "-l", f"tenantry.dev/instance-id={own}")
    databases = query("postgres", "SELECT datname FROM pg_database").stdout
    return [o["metadata"]["name"] for o in found["items"] + claims["items"]], own in databases


def test_a_blueprint_with_a_mistake_is_named_by_place_and_installs_nothing_until_it_is_mended(operator):
    name = unique("typo")
    wrong = notes(name, env={"GREETING": "{{ settings.titel }}"})
    answer = tenantry("blueprint", "validate", "-", stdin=json.dumps(wrong), ok=False)
    assert answer.returncode == 4 and "env.GREETING" in answer.stdout and "settings.titel" in answer.stdout, answer
    apply(wrong)
    judged = wait("the blueprint is judged", lambda: get("blueprint", name)["status"]["conditions"][0], 30)
    assert judged["status"] == "False" and "env.GREETING" in judged["message"], judged
    tenant_with(name, name, ready=False)
    said = says(f"{name}/crm", "SpecValid", "BlueprintInvalid", 60)
    assert "env.GREETING" in said and "settings.titel" in said and name in said, said
    assert remains(instance(f"{name}/crm")) == ([], False), remains(instance(f"{name}/crm"))
    apply(notes(name, env={"GREETING": "{{ settings.title }}"}))
    ready(f"{name}/crm", 90)
    assert fetch(f"{name}.example", "/healthz")[0] == 200


@alone("compares all instances before and after")
def test_rights_and_policies_of_the_chart_hold_on_this_cluster(operator):
    names = [f"{c['spec']['tenant']}/{c['metadata']['name']}" for c in get("crm", "-A")["items"]]
    before = untouched(*names)
    answer = run(str(ROOT / "charts/tests/admission"), env={"KUBECTL": " ".join(KUBECTL)}, ok=False)
    assert answer.returncode == 0 and ", 0 wrong" in answer.stdout, answer.stdout + answer.stderr
    assert untouched(*names) == before
    wait("nothing of it is left", lambda: not there("namespace", "tenant-aadmission1") and not there("archive", "admission-1"), 60)
