"""Request Tracker on MariaDB: a desk from its first day until its archive is adopted. Does I/O.

Its tickets are written and read over its own REST interface, through the ingress, as people's programs do.
"""

import base64
import json
import urllib.error
import urllib.request

from engines import MARIA, mariadb_server, templates_of
from harness import ADDRESS, check, get, kubectl, tenantry, wait
from mailserver import Mail, Opened, host as mail_host
from world import (ROOT, access, archives_of, fetch, instance, kinds, query_mariadb, ready, tenant_with, there,
                   unique)

STATE = {}


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


def host():
    return f"{STATE['name']}.example"


def crm():
    return f"{STATE['name']}/crm"


def desk(seconds=60, name=None, at=None):
    """The desk (or another), once its generated password is taken."""
    password = tenantry("instance", "password", name or crm()).stdout.strip()
    found = Desk(at or host(), "root", password)

    def well():
        try:
            return found.version()
        except Refused as error:
            raise AssertionError(str(error)) from None
    wait(f"somebody can log in to {name or crm()}", well, seconds)
    return found


@check
def a_desk_on_mariadb_comes_with_a_password_of_its_own_and_people_write_and_read_tickets():
    mariadb_server()
    if not there("blueprint", "request-tracker"):
        kubectl("apply", "--server-side", "-f", str(ROOT / "manifests/blueprints/request-tracker.yaml"))
    STATE["name"] = unique("desk-a")
    tenant_with(STATE["name"], "request-tracker", ready=False)
    # The first of a release is built as a template first, which takes a job of its own.
    status = ready(crm(), 600)["status"]
    assert status["database"]["server"] == MARIA and status["release"] == "5.0", status
    STATE["id"] = instance(crm())["spec"]["id"]
    STATE["tenant"] = get("tenant", STATE["name"])["spec"]["id"]

    mine = desk()
    assert mine.version().startswith("5.0."), mine.version()
    STATE["ticket"] = mine.write("The printer of the third floor", "It prints every page twice – für alle ☂.")
    seen = mine.read(STATE["ticket"])
    assert seen["Subject"] == "The printer of the third floor" and seen["Status"] == "new", seen
    assert seen["Creator"]["id"] == "root", seen
    mine.comment(STATE["ticket"], "Looked at it.")
    assert "Comment" in mine.history(STATE["ticket"]), mine.history(STATE["ticket"])
    # What the verification wrote is deleted, not merely closed.
    own = access(crm())
    left = query_mariadb(MARIA, own["database"], "SELECT DISTINCT Status FROM Tickets WHERE Subject = 'Tenantry check'",
                         own["username"], own["password"])
    assert left.stdout.split() == ["deleted"], left
    assert kinds(STATE["id"]) == ["installed"], kinds(STATE["id"])


@check
def a_wrong_password_and_the_one_of_the_product_itself_open_no_desk():
    for password in ("password", "wrong-password"):
        try:
            Desk(host(), "root", password).version()
        except Refused as error:
            assert error.status == 401, error
        else:
            raise AssertionError(f"{password} is let in")
    # What stands in the database is the product's own hash by now, made at the first log-in.
    own = access(crm())
    kept = query_mariadb(MARIA, own["database"], "SELECT Password FROM Users WHERE Name = 'root'", own["username"], own["password"])
    assert kept.stdout.startswith("!bcrypt!"), kept.stdout[:10]


@check
def a_second_desk_comes_from_the_template_with_other_secrets_and_without_the_firsts_tickets():
    name = unique("desk-b")
    tenant_with(name, "request-tracker")
    mine, own = (tenantry("instance", "password", f"{n}/crm").stdout.strip() for n in (STATE["name"], name))
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
    assert len(templates_of(STATE["name"], name)) == 1
    tenantry("tenant", "archive", name, "--confirm", name)
    tenantry("tenant", "purge", name, "--confirm", name, "--before-retention", timeout=300)
    assert desk().read(STATE["ticket"])["Subject"] == "The printer of the third floor"


@check
def every_job_of_the_desk_that_runs_by_the_clock_succeeds():
    namespace = f"tenant-{STATE['tenant']}"
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


@check
def a_copy_of_the_desk_has_its_tickets_and_writes_to_no_customer_while_the_original_does():
    name = STATE["name"]
    with Mail() as server, Opened(instance(crm())["metadata"]["namespace"]):
        tenantry("instance", "settings", "set", crm(), f"smtp_host={mail_host()}", f"smtp_port={server.port}", "smtp_security=none",
                 "--wait", "--timeout", "5m")
        mine = desk(120)
        mine.asked_by("customer@shop.example", "Where is my parcel")
        first, = wait("the customer is told", server.messages, 60)
        assert "customer@shop.example" in first and "Where is my parcel" in first, first

        tenantry("instance", "create", f"{name}/staging", "--from", crm(), "--wait", "--timeout", "10m")
        copy = instance(f"{name}/staging")
        assert copy["status"]["phase"] == "Ready" and copy["spec"]["settings"].get("smtp_host") == mail_host(), copy["spec"]
        there_too = desk(60, f"{name}/staging", copy["spec"]["host"])
        assert there_too.read(STATE["ticket"])["Subject"] == "The printer of the third floor"
        assert "Comment" in there_too.history(STATE["ticket"])
        other = there_too.asked_by("customer@shop.example", "Only in the copy")
        there_too.comment(other, "A remark.")
        own = access(f"{name}/staging")
        # Even if somebody lets it act by itself again: outside production it has no mail server.
        query_mariadb(MARIA, own["database"], "UPDATE Scrips SET Disabled = 0", own["username"], own["password"])
        there_too.asked_by("customer@shop.example", "And with everything on")
        mine.asked_by("customer@shop.example", "The last one")
        wait("the original's mail is there", lambda: any("The last one" in m for m in server.messages()), 60)
        assert len(server.messages()) == 2, server.messages()
    before = access(crm())
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
    assert desk().read(STATE["ticket"])["Subject"] == "The printer of the third floor"


@check
def a_suspended_desk_shows_a_page_and_comes_back_with_its_tickets():
    name = STATE["name"]
    tenantry("tenant", "suspend", name, "--reason", "the invoice of June", "--wait", "--timeout", "3m")
    status, body = wait("the page is up", lambda: (lambda a: a if a[0] == 503 else None)(fetch(host())), 90)
    assert "the invoice of June" in body, body[:500]
    try:
        Desk(host(), "root", tenantry("instance", "password", crm()).stdout.strip()).version()
    except Refused as error:
        assert error.status == 503, error
    else:
        raise AssertionError("a suspended desk answers")
    tenantry("tenant", "resume", name, "--wait", "--timeout", "5m")
    assert desk(90).read(STATE["ticket"])["Subject"] == "The printer of the third floor"
    assert kinds(STATE["tenant"]) == ["suspended", "resumed"], kinds(STATE["tenant"])


@check
def an_archived_desk_is_adopted_with_its_tickets():
    name, before = STATE["name"], access(crm())
    tenantry("tenant", "archive", name, "--confirm", name)
    kept = [a for a in archives_of(STATE["tenant"]) if a["spec"]["id"] == STATE["id"]]
    assert kept[0]["spec"]["databases"] == [{"server": MARIA, "name": before["database"]}], kept
    locked = query_mariadb(MARIA, before["database"], "SELECT 1", before["username"], before["password"])
    assert locked.returncode != 0 and "locked" in locked.stderr, locked
    assert fetch(host())[0] in (404, 503)

    whole = next(a for a in archives_of(STATE["tenant"]) if a["spec"]["kind"] == "Tenant")
    tenantry("tenant", "adopt", whole["metadata"]["name"], "--wait", "--timeout", "5m")
    back = instance(crm())
    assert back["spec"]["id"] == STATE["id"] and back["status"]["database"]["name"] == before["database"]
    mine = desk(90)
    assert mine.read(STATE["ticket"])["Subject"] == "The printer of the third floor"
    later = mine.write("Still here", "After the archive.")
    assert int(later) > int(STATE["ticket"]) and mine.read(later)["Status"] == "new"
    assert kinds(STATE["id"]) == ["installed", "archived", "adopted"], kinds(STATE["id"])
    # The room is wanted by the checks that follow.
    tenantry("tenant", "archive", name, "--confirm", name)
    tenantry("tenant", "purge", name, "--confirm", name, "--before-retention", timeout=300)
