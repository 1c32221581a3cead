"""A product of which only a container file and a blueprint exist, in noticeboard/: used as people use it. Does I/O."""

import json
import urllib.request
from pathlib import Path

from harness import ADDRESS, check, get, kubectl, run, tenantry, wait
from world import HERE, access, archives_of, instance, load_image, query, ready, tenant_with, unique

FOLDER = HERE / "noticeboard"
STATE = {}


class Board:
    """A person at the notice board, through the ingress."""

    def __init__(self, name, host):
        self.host, self.token = host, None
        password = tenantry("instance", "password", name).stdout.strip()
        self.token = self.ask("POST", "/login", {"login": "admin", "password": password})["token"]

    def ask(self, method, path, value=None, raw=None):
        body = raw if raw is not None else json.dumps(value).encode() if value is not None else None
        headers = {"Host": self.host} | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        request = urllib.request.Request(ADDRESS + path, data=body, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)


def the_image():
    """Builds the product's image from its folder, as its author would, and brings it to the node."""
    images = HERE.parents[1] / "images" / "build"
    built = run(str(images), "--also", f"noticeboard:1={FOLDER}", "noticeboard:1")
    load_image(Path(built.stdout.split()[-1]).resolve())


def run_now(name, schedule):
    """Runs a schedule at once, as a person would; gives what it wrote."""
    now = instance(name)
    namespace, job = now["metadata"]["namespace"], unique(schedule)
    cron = next(c["metadata"]["name"] for c in get("cronjobs", "-n", namespace)["items"]
                if c["metadata"]["name"].startswith(now["spec"]["id"]) and c["metadata"]["name"].endswith(schedule))
    kubectl("-n", namespace, "delete", "job", job, "--ignore-not-found")
    kubectl("-n", namespace, "create", "job", job, f"--from=cronjob/{cron}")
    kubectl("-n", namespace, "wait", "--for=condition=complete", f"job/{job}", "--timeout=120s")
    return kubectl("-n", namespace, "logs", f"job/{job}").stdout


@check
def a_product_of_a_container_file_and_yaml_works_with_its_files_and_its_schedule():
    the_image()
    kubectl("apply", "--server-side", "-f", str(FOLDER / "blueprint.yaml"))
    name = STATE["name"] = unique("board")
    tenant_with(name, "noticeboard")
    board = Board(f"{name}/crm", f"{name}.example")
    STATE["notice"] = board.ask("POST", "/notices", {"text": "Tea at four", "due": "2020-01-01T16:00:00Z"})["id"]
    board.ask("PUT", "/files/plan", raw=b"to the left")
    assert "nothing is sent" in run_now(f"{name}/crm", "remind")

    namespace = instance(f"{name}/crm")["metadata"]["namespace"]
    pods = [p["metadata"]["name"] for p in get("pods", "-n", namespace)["items"]
            if p["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"]
    kubectl("-n", namespace, "delete", "pod", *pods)
    ready(f"{name}/crm")
    again = wait("it answers again", lambda: Board(f"{name}/crm", f"{name}.example"), 60)
    assert again.ask("GET", f"/notices/{STATE['notice']}")["text"] == "Tea at four"
    assert again.ask("GET", "/files/plan")["content"] == "to the left"


@check
def what_such_a_product_holds_is_archived_and_comes_back_with_its_files():
    name = STATE["name"]
    tenant = get("tenant", name)["spec"]["id"]
    tenantry("tenant", "archive", name, "--confirm", name)
    whole = next(a for a in archives_of(tenant) if a["spec"]["kind"] == "Tenant")
    tenantry("tenant", "adopt", whole["metadata"]["name"], "--wait", "--timeout", "3m")
    board = wait("it answers again", lambda: Board(f"{name}/crm", f"{name}.example"), 60)
    assert board.ask("GET", f"/notices/{STATE['notice']}")["text"] == "Tea at four"
    assert board.ask("GET", "/files/plan")["content"] == "to the left"
    own = access(f"{name}/crm")
    assert query(own["database"], "SELECT count(*) FROM notices").stdout.strip() == "1"
