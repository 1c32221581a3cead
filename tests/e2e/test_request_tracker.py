"""Request Tracker on MariaDB: a desk from its first day until its archive is adopted. Does I/O.

Its tickets are written and read over its own REST interface, through the ingress, as people's programs do.
"""

import base64
import json
import urllib.error
import urllib.request
from types import SimpleNamespace

import pytest
from harness import ADDRESS, get, kubectl, tenantry, wait
from mailserver import Mail, Opened, host as mail_host
from mariadb import MARIA, templates_of
from marks import own_cluster
from world import (ROOT, access, archives_of, fetch, instance, kinds, query_mariadb, ready, tenant_with, there,
                   unique)


class Refused(Exception):
    """The application answered with an error. `status` is its HTTP status."""

    def __init__(self, status, body):
        super().__init__(f"{status}: {body[:500]}")
        self.status = status


class Desk:
    """One Request Tracker as one of its users sees it."""

    def __init__(self, host, login, password):
        self.host = host
        self.basic = "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()

    def call(self, method, path, body=None):
        """Gives the answer's JSON; None when there is no body."""
        headers = {"Host": self.host, "Authorization": self.basic, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{ADDRESS}/REST/2.0{path}", data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode(errors="replace")) from None
        return json.loads(text) if text else None

    def version(self):
        return self.call("GET", "/rt")["Version"]

    def write(self, subject, content):
        ticket = {"Queue": "General", "Subject": subject, "Content": content, "ContentType": "text/plain"}
        return self.call("POST", "/ticket", ticket)["id"]

    def asked_by(self, customer, subject):
        """A ticket of a customer, who is told of it by mail."""
        ticket = {"Queue": "General", "Subject": subject, "Content": "Please help.", "ContentType": "text/plain", "Requestor": customer}
        return self.call("POST", "/ticket", ticket)["id"]

    def read(self, number):
        return self.call("GET", f"/ticket/{number}")

    def comment(self, number, content):
        """A remark on a ticket, which the history of the ticket then shows."""
        body = {"Content": content, "ContentType": "text/plain"}
        return self.call("POST", f"/ticket/{number}/comment", body)

    def history(self, number):
        """Kinds of what happened to a ticket."""
        items = self.call("GET", f"/ticket/{number}/history?fields=Type&per_page=100")["items"]
        return [item["Type"] for item in items]


@pytest.fixture(scope="module")
def first(mariadb):
    """The desk of this story: its name, its address, its ids, and its first ticket."""
    if not there("blueprint", "request-tracker"):
        kubectl("apply", "--server-side", "-f", str(ROOT / "manifests/blueprints/request-tracker.yaml"))
    name = unique("desk-a")
    tenant_with(name, "request-tracker", ready=False)
    # The first of a release is built as a template first, which takes a job of its own.
    ready(f"{name}/crm", 600)
    first = SimpleNamespace(name=name, crm=f"{name}/crm", host=f"{name}.example", id=instance(f"{name}/crm")["spec"]["id"],
                            tenant=get("tenant", name)["spec"]["id"])
    mine = desk(first)
    first.ticket = mine.write("The printer of the third floor", "It prints every page twice – für alle ☂.")
    mine.comment(first.ticket, "Looked at it.")
    return first


def desk(of, seconds=60, name=None, at=None):
    """The desk (or another), once its generated password is taken."""
    password = tenantry("instance", "password", name or of.crm).stdout.strip()
    found = Desk(at or of.host, "root", password)

    def well():
        try:
            return found.version()
        except Refused as error:
            raise AssertionError(str(error)) from None
    wait(f"somebody can log in to {name or of.crm}", well, seconds)
    return found


def test_a_desk_on_mariadb_comes_with_a_password_of_its_own_and_people_write_and_read_tickets(first):
    status = instance(first.crm)["status"]
    assert status["database"]["server"] == MARIA and status["release"] == "5.0", status
    mine = desk(first)
    assert mine.version().startswith("5.0."), mine.version()
    seen = mine.read(first.ticket)
    assert seen["Subject"] == "The printer of the third floor" and seen["Status"] == "new", seen
    assert seen["Creator"]["id"] == "root", seen
    assert "Comment" in mine.history(first.ticket), mine.history(first.ticket)
    # What the verification wrote is deleted, not merely closed.
    own = access(first.crm)
    left = query_mariadb(MARIA, own["database"], "SELECT DISTINCT Status FROM Tickets WHERE Subject = 'Tenantry check'",
                         own["username"], own["password"])
    assert left.stdout.split() == ["deleted"], left
    assert kinds(first.id) == ["installed"], kinds(first.id)


def test_a_wrong_password_and_the_one_of_the_product_itself_open_no_desk(first):
    for password in ("password", "wrong-password"):
        try:
            Desk(first.host, "root", password).version()
        except Refused as error:
            assert error.status == 401, error
        else:
            raise AssertionError(f"{password} is let in")
    # What stands in the database is the product's own hash by now, made at the first log-in.
    own = access(first.crm)
    kept = query_mariadb(MARIA, own["database"], "SELECT Password FROM Users WHERE Name = 'root'", own["username"], own["password"])
    assert kept.stdout.startswith("!bcrypt!"), kept.stdout[:10]


def test_a_second_desk_comes_from_the_template_with_other_secrets_and_without_the_firsts_tickets(first):
    name = unique("desk-b")
    tenant_with(name, "request-tracker")
    mine, own = (tenantry("instance", "password", f"{n}/crm").stdout.strip() for n in (first.name, name))
    assert mine != own
    other = Desk(f"{name}.example", "root", own)
    assert other.version().startswith("5.0.")
    try:
        Desk(f"{name}.example", "root", mine).version()
    except Refused as error:
        assert error.status == 401, error
    else:
        raise AssertionError("the password of one desk opens another")
    found = other.call("GET", "/tickets?query=id%3E0&fields=Subject")
    assert all(item["Subject"] != "The printer of the third floor" for item in found["items"]), found
    assert len(templates_of(first.name, name)) == 1
    tenantry("tenant", "archive", name, "--confirm", name)
    tenantry("tenant", "purge", name, "--confirm", name, "--before-retention", timeout=300)
    assert desk(first).read(first.ticket)["Subject"] == "The printer of the third floor"


def test_every_job_of_the_desk_that_runs_by_the_clock_succeeds(first):
    namespace = f"tenant-{first.tenant}"
    schedules = [c["metadata"]["name"] for c in get("cronjobs", "-n", namespace)["items"]]
    words = ("dashboards", "digest-daily", "digest-weekly", "sessions")
    assert len(schedules) == len(words), schedules
    for word in words:
        schedule, = [s for s in schedules if s.endswith(f"-{word}")]
        job = unique(f"by-hand-{word}")
        kubectl("-n", namespace, "create", "job", job, f"--from=cronjob/{schedule}")

        def done():
            status = get("job", job, "-n", namespace)["status"]
            failed = [c for c in status.get("conditions", []) if c["type"] == "Failed" and c["status"] == "True"]
            if failed or status.get("failed"):
                log = kubectl("-n", namespace, "logs", f"job/{job}", "--all-containers", "--tail=40", ok=False)
                raise RuntimeError(f"{word}: {failed}\n{log.stdout}{log.stderr}")
            return status.get("succeeded") == 1
        wait(f"the job {word} has succeeded", done, 180)
        kubectl("-n", namespace, "delete", "job", job)


@own_cluster("a mail server where pods reach it")
def test_a_copy_of_the_desk_has_its_tickets_and_writes_to_no_customer_while_the_original_does(first, site):
    name = first.name
    with Mail() as server, Opened(instance(first.crm)["metadata"]["namespace"]):
        tenantry("instance", "settings", "set", first.crm, f"smtp_host={mail_host()}", f"smtp_port={server.port}", "smtp_security=none",
                 "--wait", "--timeout", "5m")
        mine = desk(first, 120)
        mine.asked_by("customer@shop.example", "Where is my parcel")
        told, = wait("the customer is told", server.messages, 60)
        assert "customer@shop.example" in told and "Where is my parcel" in told, told

        tenantry("instance", "create", f"{name}/staging", "--from", first.crm, "--wait", "--timeout", "10m")
        copy = instance(f"{name}/staging")
        assert copy["status"]["phase"] == "Ready" and copy["spec"]["settings"].get("smtp_host") == mail_host(), copy["spec"]
        there_too = desk(first, 60, f"{name}/staging", copy["spec"]["host"])
        assert there_too.read(first.ticket)["Subject"] == "The printer of the third floor"
        assert "Comment" in there_too.history(first.ticket)
        other = there_too.asked_by("customer@shop.example", "Only in the copy")
        there_too.comment(other, "A remark.")
        own = access(f"{name}/staging")
        # Even if somebody lets it act by itself again: outside production it has no mail server.
        query_mariadb(MARIA, own["database"], "UPDATE Scrips SET Disabled = 0", own["username"], own["password"])
        there_too.asked_by("customer@shop.example", "And with everything on")
        mine.asked_by("customer@shop.example", "The last one")
        wait("the original's mail is there", lambda: any("The last one" in m for m in server.messages()), 60)
        assert len(server.messages()) == 2, server.messages()
    before = access(first.crm)
    assert (own["database"], own["username"]) != (before["database"], before["username"]) and own["password"] != before["password"]
    stolen = query_mariadb(MARIA, before["database"], "SELECT 1", own["username"], own["password"])
    assert stolen.returncode != 0, stolen
    try:
        mine.read(other)
    except Refused as error:
        assert error.status == 404, error
    else:
        assert mine.read(other)["Subject"] != "Only in the copy", other
    assert kinds(copy["spec"]["id"]) == ["installed"]
    tenantry("instance", "archive", f"{name}/staging", "--confirm", f"{name}/staging")
    wait("the copy is gone", lambda: not there("crm", "staging", "-n", copy["metadata"]["namespace"]), 120)
    assert desk(first).read(first.ticket)["Subject"] == "The printer of the third floor"


def test_a_suspended_desk_shows_a_page_and_comes_back_with_its_tickets(first):
    name = first.name
    tenantry("tenant", "suspend", name, "--reason", "the invoice of June", "--wait", "--timeout", "3m")
    status, body = wait("the page is up", lambda: (lambda a: a if a[0] == 503 else None)(fetch(first.host)), 90)
    assert "the invoice of June" in body, body[:500]
    try:
        Desk(first.host, "root", tenantry("instance", "password", first.crm).stdout.strip()).version()
    except Refused as error:
        assert error.status == 503, error
    else:
        raise AssertionError("a suspended desk answers")
    tenantry("tenant", "resume", name, "--wait", "--timeout", "5m")
    assert desk(first, 90).read(first.ticket)["Subject"] == "The printer of the third floor"
    assert kinds(first.tenant) == ["suspended", "resumed"], kinds(first.tenant)


def test_an_archived_desk_is_adopted_with_its_tickets(first):
    name, before = first.name, access(first.crm)
    tenantry("tenant", "archive", name, "--confirm", name)
    kept = [a for a in archives_of(first.tenant) if a["spec"]["id"] == first.id]
    assert kept[0]["spec"]["databases"] == [{"server": MARIA, "name": before["database"]}], kept
    locked = query_mariadb(MARIA, before["database"], "SELECT 1", before["username"], before["password"])
    assert locked.returncode != 0 and "locked" in locked.stderr, locked
    assert fetch(first.host)[0] in (404, 503)

    whole = next(a for a in archives_of(first.tenant) if a["spec"]["kind"] == "Tenant")
    tenantry("tenant", "adopt", whole["metadata"]["name"], "--wait", "--timeout", "5m")
    back = instance(first.crm)
    assert back["spec"]["id"] == first.id and back["status"]["database"]["name"] == before["database"]
    mine = desk(first, 90)
    assert mine.read(first.ticket)["Subject"] == "The printer of the third floor"
    later = mine.write("Still here", "After the archive.")
    assert int(later) > int(first.ticket) and mine.read(later)["Status"] == "new"
    assert kinds(first.id) == ["installed", "archived", "adopted"], kinds(first.id)
    # The room is wanted by the checks that follow.
    tenantry("tenant", "archive", name, "--confirm", name)
    tenantry("tenant", "purge", name, "--confirm", name, "--before-retention", timeout=300)
