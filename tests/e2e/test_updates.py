"""A newer Tenantry over an older one: no tenant restarts, settings survive, the kinds are the new ones. Does I/O."""

import io
import json
import os
import shutil
import tarfile
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import yaml
from chart import install
from harness import apply, get, kubectl, run, tenantry, wait
from marks import alone
from products import notes
from world import ROOT, SYSTEM, fetch, ready, tenant_with, unique

pytestmark = alone("puts another operator in place, and compares everything before and after")
VERSION = "0.1.1"
NEWER = "tenantry.local/operator:newer"
NEWER_TAGS = {"image": {"tag": "newer"}, "agentImage": {"tag": "newer"}}
IMAGES = Path(os.environ["TENANTRY_CACHE"]) / "images"


def retagged(archive, name, target):
    """The same image under another name, as an OCI archive."""
    with tarfile.open(archive) as old, tarfile.open(target, "w") as new:
        for entry in old:
            content = old.extractfile(entry) if entry.isfile() else None
            if entry.name.removeprefix("./") == "index.json":
                index = json.load(content)
                for manifest in index["manifests"]:
                    manifest["annotations"] = {"org.opencontainers.image.ref.name": name}
                raw = json.dumps(index).encode()
                entry.size, content = len(raw), io.BytesIO(raw)
            new.addfile(entry, content)


def newer_charts(folder):
    """A copy of the charts as a later version would bring them: a kind with one more column and field."""
    for chart in ("tenantry-crds", "tenantry"):
        shutil.copytree(ROOT / "charts" / chart, folder / chart, ignore=shutil.ignore_patterns("tests"))
        about = folder / chart / "Chart.yaml"
        text = yaml.safe_load(about.read_text())
        text["version"] = text["appVersion"] = VERSION
        about.write_text(yaml.safe_dump(text))
    kind = folder / "tenantry-crds" / "templates" / "crminstances.yaml"
    definition = yaml.safe_load(kind.read_text())
    version, = definition["spec"]["versions"]
    version["additionalPrinterColumns"].append({"name": "Later", "type": "string", "jsonPath": ".metadata.uid"})
    fields = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    fields["later"] = {"type": "string", "maxLength": 10, "description": "A field of a later version."}
    kind.write_text(yaml.safe_dump(definition))


def pods():
    """Every pod of tenants and of database servers that is ready: who it is, how often it was restarted, what it runs."""
    seen = {}
    for words in (("-A", "-l", "tenantry.dev/tenant-id"), ("-n", SYSTEM, "-l", "tenantry.dev/purpose=database-server")):
        for pod in get("pods", *words)["items"]:
            if pod["metadata"]["labels"].get("tenantry.dev/process") == "page":
                # The page of a suspended tenant is ours: it comes with the newer version, one pod after the other.
                continue
            owner, = pod["metadata"]["ownerReferences"]
            states = pod["status"].get("containerStatuses", [])
            stays = owner["kind"] in ("ReplicaSet", "StatefulSet") and "deletionTimestamp" not in pod["metadata"]
            if stays and states and all(c["ready"] for c in states):
                restarts = sorted((c["name"], c["restartCount"], c["imageID"]) for c in states)
                seen[pod["metadata"]["namespace"], pod["metadata"]["name"]] = (pod["metadata"]["uid"], restarts)
    return seen


def objects():
    """What people wrote of all that is looked after, and what the operator says of all that is well."""
    seen = {}
    for kind in ("tenants", "crm", "dbs", "plans", "blueprints", "archives"):
        for item in get(kind, "-A")["items"]:
            meta = item["metadata"]
            status = item.get("status", {})
            # What other checks left broken is tried again and may say so; the databases of a server are counted.
            well = status.get("phase") in ("Ready", "Active", "Suspended") and kind != "dbs"
            seen[kind, meta.get("namespace"), meta["name"]] = (meta["uid"], meta["generation"], item["spec"], well and status)
    return seen


def at_rest(seconds=3):
    """Waits until nothing has changed for so long."""
    seen = [None, 0.0]

    def still():
        now = objects(), pods()
        if now != seen[0]:
            seen[:] = now, time.monotonic()
        return time.monotonic() - seen[1] >= seconds
    wait("everything has come to rest", still, 60)


def values(name):
    helm = os.environ.get("HELM", "helm")
    return json.loads(run(helm, "get", "values", name, "--namespace", SYSTEM, "-o", "json").stdout)


@contextmanager
def asked_all_the_time(host):
    """Asks an instance again and again; gives the list of the answers that were not right, and of all."""
    wrong, done, asked = [], threading.Event(), []

    def ask():
        while not done.is_set():
            asked.append(1)
            try:
                status, text = fetch(host, "/healthz")
                if status != 200:
                    wrong.append((time.strftime("%H:%M:%S"), status, text[:100]))
            except OSError as error:
                wrong.append((time.strftime("%H:%M:%S"), str(error)))
            done.wait(0.1)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield wrong, asked
    finally:
        done.set()
        thread.join(30)
    assert len(asked) > 10, "it was hardly asked"


def told_version():
    found = json.loads(tenantry("version", "-o", "json").stdout)["cluster"]
    return found["operatorImage"], found["chart"]


def test_a_newer_tenantry_over_an_older_one_restarts_no_tenant_and_keeps_every_setting(operator, load_image):
    blueprint, before_it, after_it = unique("steady"), unique("steady"), unique("later")
    apply(notes(blueprint))
    tenant_with(before_it, blueprint)
    # A person's own change of the Site, and values that this update does not name.
    contact = get("site", "site")["spec"].get("contact")
    by_hand = "A person's own words: 1900 0000"
    kubectl("patch", "site", "site", "--type=merge", "-p", json.dumps({"spec": {"contact": by_hand}}))
    install("--set", "podAnnotations.kept=yes")
    ready(f"{before_it}/crm")
    site, was_values = get("site", "site"), values("tenantry")
    operator = get("deployment", "tenantry-operator", "-n", SYSTEM)
    at_rest()
    was_objects, was_pods = objects(), pods()
    assert was_pods and any(namespace == SYSTEM for namespace, _ in was_pods), was_pods
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        newer_charts(folder)
        for image in ("operator", "agent"):
            archive = folder / f"{image}.tar"
            retagged((IMAGES / f"{image}-dev.tar").resolve(), f"tenantry.local/{image}:newer", archive)
            load_image(archive)
        try:
            with asked_all_the_time(f"{before_it}.example") as (wrong, asked):
                # Nothing is named but what is new.
                tenantry("install", "--charts", str(folder), "--set", "image.tag=newer", "--set", "agentImage.tag=newer")
                assert told_version() == (NEWER, VERSION), told_version()
                tenant_with(after_it, blueprint)
                asked_so_far = len(asked)
                wait("it is asked some times more", lambda: len(asked) >= asked_so_far + 15, 60)
            assert not wrong, wrong[:5]

            # The kinds are the new ones, and nothing that existed was touched.
            definition = get("crd", "crminstances.tenantry.dev")
            version, = definition["spec"]["versions"]
            assert "later" in version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
            assert "LATER" in kubectl("get", "crm", "-A").stdout.splitlines()[0]
            now = objects()
            changed = {k: (was, now.get(k)) for k, was in was_objects.items() if now.get(k) != was}
            assert not changed, f"objects were changed: {changed}"
            now = pods()
            assert {k: now.get(k) for k in was_pods} == was_pods, "a pod was started anew"

            # Settings survive: values of the last install, the Site, what the operator is told.
            assert values("tenantry") == {**was_values, **NEWER_TAGS}, values("tenantry")
            there = get("site", "site")
            assert there["metadata"]["uid"] == site["metadata"]["uid"] and there["spec"] == site["spec"], there["spec"]
            assert there["spec"]["contact"] == by_hand
            template = get("deployment", "tenantry-operator", "-n", SYSTEM)["spec"]["template"]
            assert template["metadata"]["annotations"]["kept"] == "yes"
            told, = template["spec"]["containers"]
            was_told, = operator["spec"]["template"]["spec"]["containers"]
            def of_all_versions(env):
                return [e for e in env if e["name"] != "TENANTRY_AGENT_IMAGE"]
            assert told["image"] == NEWER and of_all_versions(told["env"]) == of_all_versions(was_told["env"]), told
        finally:
            install("--reset-values")
            kubectl("patch", "site", "site", "--type=merge", "-p", json.dumps({"spec": {"contact": contact}}))
    assert told_version()[0] == "tenantry.local/operator:dev"
    version, = get("crd", "crminstances.tenantry.dev")["spec"]["versions"]
    assert "later" not in version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    ready(f"{before_it}/crm")


def test_pods_that_an_older_operator_built_run_on_until_something_else_about_them_changes(operator):
    name = unique("older")
    product = notes(name)
    product["spec"]["processes"][0].update({"strategy": "rolling", "replicas": {"default": 1, "max": 2}})
    apply(product)
    tenant_with(name, name)
    now = ready(f"{name}/crm")
    where = ("deployment", f"{now['spec']['id']}-web", "-n", now["metadata"]["namespace"])

    def lifecycle():
        container, = get(*where)["spec"]["template"]["spec"]["containers"]
        return container.get("lifecycle")

    assert lifecycle()
    # As an operator built them that knew no pause at the end of a pod.
    pod = "/spec/template/spec"
    kubectl("patch", *where, "--type=json", "-p", json.dumps([
        {"op": "remove", "path": f"{pod}/containers/0/lifecycle"},
        {"op": "replace", "path": f"{pod}/terminationGracePeriodSeconds", "value": 20}]))
    generation = get(*where)["metadata"]["generation"]
    kubectl("-n", SYSTEM, "rollout", "restart", "deployment/tenantry-operator")
    kubectl("-n", SYSTEM, "rollout", "status", "deployment/tenantry-operator", "--timeout=60s")
    tenantry("instance", "set", f"{name}/crm", "--admin-email", "another@older.example")
    wanted = get("crm", "crm", "-n", now["metadata"]["namespace"])["metadata"]["generation"]
    wait("the new process has looked at it", lambda: get(
        "crm", "crm", "-n", now["metadata"]["namespace"])["status"]["observedGeneration"] == wanted, 60)
    ready(f"{name}/crm", 60)
    assert get(*where)["metadata"]["generation"] == generation and not lifecycle(), "a newer operator restarted it"
    tenantry("instance", "set", f"{name}/crm", "--toleration", f"for={name}:NoSchedule", "--wait", "--timeout", "2m")
    assert lifecycle()["preStop"]["sleep"]["seconds"] == 5, lifecycle()


def test_values_of_the_last_install_can_be_forgotten_on_request(operator):
    before = values("tenantry")
    try:
        tenantry("install", "--charts", str(ROOT / "charts"), "--dry-run", "--reset-values", "--set", "image.tag=dev")
        assert values("tenantry") == before, "a dry run changed them"
        install("--set", "log.level=debug")
        assert values("tenantry")["log"] == {"level": "debug"}
        install("--reset-values")
        assert "log" not in values("tenantry"), values("tenantry")
    finally:
        install("--reset-values")
    assert get("dbs", "pg-shared-1")["spec"]["managed"]["storage"] == "10G"
