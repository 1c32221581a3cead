"""Products that do not fit: an image with another user, one that wants root, an application that never answers.
Each is told at its own condition, and is well once the blueprint is mended. Does I/O."""

import hashlib
import io
import json
import os
import tarfile
import tempfile
from pathlib import Path

from harness import apply, get
from products import AGENT, page
from world import condition, fetch, instance, kinds, ready, says, tenant_with, unique, untouched

ARCHIVE = Path(os.environ["TENANTRY_CACHE"]) / "images" / "agent-dev.tar"
NEIGHBOUR = "acme/crm"  # the fixture `acme`
USER = {"runAsUser": 10001, "runAsGroup": 10001}
# Takes connections and reads, and says nothing.
SILENT = "import socket, time; s = socket.create_server(('0.0.0.0', 9000)); kept = []\nwhile True: kept.append(s.accept())"


def with_user(user, name, target):
    """The agent's image under another name, made to run as another user."""
    with tarfile.open(ARCHIVE.resolve()) as old:
        content = {m.name.removeprefix("./"): old.extractfile(m).read() for m in old.getmembers() if m.isfile()}

    def changed(digest, change):
        made = json.loads(content.pop(f"blobs/sha256/{digest.removeprefix('sha256:')}"))
        change(made)
        data = json.dumps(made).encode()
        digest = hashlib.sha256(data).hexdigest()
        content[f"blobs/sha256/{digest}"] = data
        return {"digest": f"sha256:{digest}", "size": len(data)}
    index = json.loads(content["index.json"])
    manifest = index["manifests"][0]
    read = json.loads(content[f"blobs/sha256/{manifest['digest'].removeprefix('sha256:')}"])
    config = changed(read["config"]["digest"], lambda c: c["config"].update(User=user))
    manifest.update(changed(manifest["digest"], lambda m: m["config"].update(config)))
    manifest["annotations"] = {"org.opencontainers.image.ref.name": name}
    content["index.json"] = json.dumps(index).encode()
    with tarfile.open(target, "w") as new:
        for path, data in content.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            new.addfile(member, io.BytesIO(data))
    return target


def mended(name, spec):
    """The blueprint says it right now: the instance that never ran takes it up by itself."""
    apply(page(name, **spec))
    now = ready(f"{name}/crm", 180)
    assert fetch(f"{name}.example", "/healthz")[0] == 200
    assert kinds(now["spec"]["id"]) == ["installed"]


def test_an_image_that_runs_as_root_where_that_is_forbidden_is_told_and_runs_with_a_user_of_its_own(acme, load_image):
    name, before = unique("rooted"), untouched(NEIGHBOUR)
    image = f"tenantry.local/{name}:1"
    with tempfile.TemporaryDirectory() as folder:
        load_image(with_user("0", image, Path(folder) / "image.tar"))
    releases = [{"version": "1", "image": image}]
    apply(page(name, releases=releases, podSecurity={}))
    tenant_with(name, name, ready=False)
    said = says(f"{name}/crm", "ProcessesReady", "ContainerCannotStart", 90)
    assert "root" in said and "runAsUser" in said, said
    assert kinds(instance(f"{name}/crm")["spec"]["id"]) == [] and untouched(NEIGHBOUR) == before
    mended(name, {"releases": releases, "podSecurity": USER})


def test_a_user_by_name_only_is_told_for_nobody_can_see_that_it_is_not_root(operator, load_image):
    name = unique("named")
    image = f"tenantry.local/{name}:1"
    with tempfile.TemporaryDirectory() as folder:
        load_image(with_user("somebody", image, Path(folder) / "image.tar"))
    releases = [{"version": "1", "image": image}]
    apply(page(name, releases=releases, podSecurity={}))
    tenant_with(name, name, ready=False)
    said = says(f"{name}/crm", "ProcessesReady", "ContainerCannotStart", 90)
    assert "somebody" in said and "runAsUser" in said, said
    mended(name, {"releases": releases, "podSecurity": USER})


def test_a_product_that_needs_root_is_refused_on_a_site_that_forbids_it_and_nothing_is_made(operator):
    name = unique("privileged")
    apply(page(name, podSecurity={"level": "baseline", "runAsUser": 0}))
    tenant_with(name, name, ready=False)
    said = says(f"{name}/crm", "SpecValid", "Invalid", 60)
    assert "baseline" in said and "restricted" in said and "podSecurity" in said, said
    now = instance(f"{name}/crm")
    namespace = now["metadata"]["namespace"]
    assert not get("deployments", "-n", namespace)["items"] and not get("pods", "-n", namespace)["items"]
    assert kinds(now["spec"]["id"]) == []
    mended(name, {})


def test_an_application_that_takes_requests_and_never_answers_is_not_ready_and_holds_up_nobody(acme):
    name, before = unique("silent"), untouched(NEIGHBOUR)
    process = {"name": "web", "command": ["python3", "-c", SILENT], "port": 9000, "serves": True,
               "readiness": {"tcp": True, "periodSeconds": 1}}
    verify = {"timeoutSeconds": 5, "steps": [{"name": "hello", "path": "/"}]}
    silent = {"version": "1", "image": "tenantry.local/tryton:7.0"}
    apply(page(name, releases=[silent], processes=[process], verify=verify))
    tenant_with(name, name, ready=False)
    said = says(f"{name}/crm", "Verified", "VerificationFailed", 120)
    assert "hello" in said and "within 5 s" in said, said
    now = instance(f"{name}/crm")
    assert condition(now, "ProcessesReady")["status"] == "True" and now["status"]["phase"] != "Ready", now["status"]
    assert kinds(now["spec"]["id"]) == [] and untouched(NEIGHBOUR) == before
    # A release cannot be changed; the instance that never ran takes the newer one.
    mended(name, {"releases": [silent, {"version": "2", "image": AGENT}]})
