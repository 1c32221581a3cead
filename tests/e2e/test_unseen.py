"""A product of which only a container file and a blueprint exist, in noticeboard/: used as people use it. Does I/O."""

from types import SimpleNamespace

import pytest
from board import FOLDER, Board, the_image
from harness import get, kubectl, tenantry, wait
from world import access, archives_of, instance, query, ready, tenant_with, unique


@pytest.fixture(scope="module")
def board(operator, load_image):
    """A tenant with the notice board, and a notice and a file in it."""
    the_image(load_image)
    kubectl("apply", "--server-side", "-f", str(FOLDER / "blueprint.yaml"))
    name = unique("board")
    tenant_with(name, "noticeboard")
    board = Board(f"{name}/crm", f"{name}.example")
    notice = board.ask("POST", "/notices", {"text": "Tea at four", "due": "2020-01-01T16:00:00Z"})["id"]
    board.ask("PUT", "/files/plan", raw=b"to the left")
    return SimpleNamespace(name=name, notice=notice)


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


def test_a_product_of_a_container_file_and_yaml_works_with_its_files_and_its_schedule(board):
    name = board.name
    assert "nothing is sent" in run_now(f"{name}/crm", "remind")

    namespace = instance(f"{name}/crm")["metadata"]["namespace"]
    pods = [p["metadata"]["name"] for p in get("pods", "-n", namespace)["items"]
            if p["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet"]
    kubectl("-n", namespace, "delete", "pod", *pods)
    ready(f"{name}/crm")
    again = wait("it answers again", lambda: Board(f"{name}/crm", f"{name}.example"), 60)
    assert again.ask("GET", f"/notices/{board.notice}")["text"] == "Tea at four"
    assert again.ask("GET", "/files/plan")["content"] == "to the left"


def test_what_such_a_product_holds_is_archived_and_comes_back_with_its_files(board):
    name = board.name
    tenant = get("tenant", name)["spec"]["id"]
    tenantry("tenant", "archive", name, "--confirm", name)
    whole = next(a for a in archives_of(tenant) if a["spec"]["kind"] == "Tenant")
    tenantry("tenant", "adopt", whole["metadata"]["name"], "--wait", "--timeout", "3m")
    again = wait("it answers again", lambda: Board(f"{name}/crm", f"{name}.example"), 60)
    assert again.ask("GET", f"/notices/{board.notice}")["text"] == "Tea at four"
    assert again.ask("GET", "/files/plan")["content"] == "to the left"
    own = access(f"{name}/crm")
    assert query(own["database"], "SELECT count(*) FROM notices").stdout.strip() == "1"
