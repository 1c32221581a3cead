"""Images that cannot be pulled and installs that fail or hang: said, contained, over when the cause is. Does I/O."""

import io
import json
import os
import tarfile
import tempfile
from pathlib import Path

from harness import apply, get, wait
from products import AGENT, notes, page
from world import condition, fetch, instance, kinds, ready, says, tenant_with, unique, untouched

ARCHIVE = Path(os.environ["TENANTRY_CACHE"]) / "images" / "agent-dev.tar"
NEIGHBOUR = "acme/crm"  # the fixture `acme`
STEP = {"name": "fill", "command": ["/tenantry-agent", "--version"]}


def renamed(name, target):
    """The agent's image under another name, as an archive."""
    with tarfile.open(ARCHIVE.resolve()) as old, tarfile.open(target, "w") as new:
        for member in old.getmembers():
            content = old.extractfile(member).read() if member.isfile() else b""
            if member.name.removeprefix("./") == "index.json":
                index = json.loads(content)
                for entry in index["manifests"]:
                    entry["annotations"] = {"org.opencontainers.image.ref.name": name}
                content = json.dumps(index).encode()
                member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    return target


def test_an_image_that_cannot_be_pulled_is_named_and_runs_as_soon_as_it_can_be(acme, load_image):
    name = unique("late")
    image = f"tenantry.local/{name}:1"
    before = untouched(NEIGHBOUR)
    apply(page(name, releases=[{"version": "1", "image": image}]))
    tenant_with(name, name, ready=False)
    said = says(f"{name}/crm", "ProcessesReady", "ImageCannotBePulled", 60)
    assert image in said and "pull" in said and "by itself" in said, said
    assert len(said.replace(image, "")) > 60, f"the cause is missing: {said}"
    now = instance(f"{name}/crm")
    assert now["status"]["phase"] == "Failed" and image in condition(now, "Ready")["message"], now["status"]
    assert kinds(now["spec"]["id"]) == [], "an install that never was is billed"
    assert untouched(NEIGHBOUR) == before
    with tempfile.TemporaryDirectory() as folder:
        load_image(renamed(image, Path(folder) / "image.tar"))
    ready(f"{name}/crm", 300)
    assert fetch(f"{name}.example", "/healthz")[0] == 200
    assert kinds(now["spec"]["id"]) == ["installed"]


def test_a_release_with_a_wrong_image_is_mended_by_a_newer_release(operator):
    name = unique("wrong")
    wrong = {"version": "1", "image": "tenantry.local/nowhere:1"}
    apply(page(name, releases=[wrong]))
    tenant_with(name, name, ready=False)
    assert "tenantry.local/nowhere:1" in says(f"{name}/crm", "ProcessesReady", "ImageCannotBePulled", 60)
    apply(page(name, releases=[wrong, {"version": "2", "image": AGENT}]))
    now = ready(f"{name}/crm", 120)
    assert now["status"]["release"] == "2", now["status"]
    assert fetch(f"{name}.example", "/healthz")[0] == 200
    assert kinds(now["spec"]["id"]) == ["installed"]


def failing(name, step, words):
    """A product whose install does not get through; then the blueprint is mended and it does."""
    before = untouched(NEIGHBOUR)
    broken = {"timeoutSeconds": 60, "steps": [step]}
    apply(notes(name, install=broken))
    tenant_with(name, name, ready=False)
    said = says(f"{name}/crm", "Installed", "InstallFailed", 120)
    for word in words:
        assert word in said, (word, said)
    assert "kubectl -n tenantry-system logs job/" in said and "tried again" in said, said
    now = instance(f"{name}/crm")
    assert now["status"]["phase"] == "Failed", now["status"]
    assert not get("deployments", "-n", now["metadata"]["namespace"])["items"], "processes of an install that failed"
    assert kinds(now["spec"]["id"]) == []
    assert untouched(NEIGHBOUR) == before
    apply(notes(name, install={"timeoutSeconds": 60, "steps": [STEP]}))
    ready(f"{name}/crm", 180)
    assert fetch(f"{name}.example", "/healthz")[0] == 200
    assert kinds(now["spec"]["id"]) == ["installed"]
    assert untouched(NEIGHBOUR) == before


def test_an_install_that_fails_says_its_last_line_and_goes_through_once_the_blueprint_is_mended(acme):
    step = {"name": "fill", "command": ["/tenantry-agent", "page", "--file", "/nothing/here.json"]}
    failing(unique("fails"), step, ["step fill", "exit code", "/nothing/here.json"])


def test_an_install_that_hangs_is_ended_and_goes_through_once_the_blueprint_is_mended(acme):
    step = {"name": "fill", "command": ["/tenantry-agent", "page", "--listen", "0.0.0.0:9001"], "timeoutSeconds": 5}
    failing(unique("hangs"), step, ["step fill", "killed after its 5 seconds"])


def test_an_install_whose_cause_of_failure_goes_is_tried_again_by_itself(operator, load_image):
    """Nobody touches the blueprint: the image that the job needs comes later."""
    name = unique("waits")
    image = f"tenantry.local/{name}:1"
    apply(notes(name, releases=[{"version": "1", "image": image}], install={"timeoutSeconds": 60, "steps": [STEP]}))
    tenant_with(name, name, ready=False)
    assert image in says(f"{name}/crm", "Installed", "ImageCannotBePulled", 60)
    with tempfile.TemporaryDirectory() as folder:
        load_image(renamed(image, Path(folder) / "image.tar"))
    ready(f"{name}/crm", 300)
    wait("it answers", lambda: fetch(f"{name}.example", "/healthz")[0] == 200, 30)
