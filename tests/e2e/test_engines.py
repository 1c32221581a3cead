"""The other series of the real CRM, and the other engine. Does I/O."""

import json
from types import SimpleNamespace

import pytest
from harness import get, kubectl, tenantry, wait
from mariadb import MARIA, templates_of
from marks import after
from world import HERE, access, archives_of, fetch, instance, kinds, query_mariadb, ready, rush, session, tenant_with, unique

OCTO = unique("octo")


@pytest.fixture(scope="module")
def shelves(mariadb):
    """Names of two tenants with a product of SQL alone, on MariaDB."""
    kubectl("apply", "--server-side", "-f", str(HERE / "shelf.yaml"))
    shelves = SimpleNamespace(one=unique("shelf-a"), two=unique("shelf-b"))
    for name in (shelves.one, shelves.two):
        tenant_with(name, "shelf")
    return shelves


def test_an_early_release_is_installed_while_the_others_go_on(operator):
    # Takes minutes: what it is worth is seen at the end.
    tenantry("tenant", "create", OCTO, "--blueprint", "tryton", "--release", "8.0", "--plan", "fibo-1",
             "--host", f"crm.{OCTO}.example")
    assert instance(f"{OCTO}/crm")["spec"]["release"] == "8.0"


def test_a_mariadb_server_made_by_a_manifest_is_ready_with_version_and_room(mariadb):
    status = get("dbs", MARIA)["status"]
    assert status["versionMajor"] == 10 and "10.11" in status["version"] and "MariaDB" in status["version"], status
    assert status["port"] == 3306 and status["host"].startswith(f"dbs-{MARIA}."), status

    def told_alike():
        # Others put databases there meanwhile: all three looks must fall between two of them.
        databases = get("dbs", MARIA)["status"]["databases"]
        shown = json.dumps(json.loads(tenantry("database-server", "show", MARIA, "-o", "json").stdout))
        text = tenantry("database-server", "show", MARIA).stdout
        assert '"maxDatabases": 12' in shown and "10.11" in text, (shown, text)
        assert f'"databases": {databases}' in shown and f"{databases} of 12" in text, (databases, shown, text)
        return True
    wait("the number of databases is told", told_alike, 30)


def test_a_product_of_sql_alone_is_installed_once_on_mariadb_and_copied_for_each_tenant(shelves):
    for name in (shelves.one, shelves.two):
        now = instance(f"{name}/crm")
        assert now["status"]["database"]["server"] == MARIA, now["status"]
        assert fetch(f"{name}.example", "/healthz")[0] == 200 and "mariadb" in fetch(f"{name}.example")[1]
        own = access(f"{name}/crm")
        ask = lambda sql: query_mariadb(MARIA, own["database"], sql, own["username"], own["password"])  # noqa: E731
        assert ask("SELECT name FROM owner").stdout.strip() == name
        assert ask("SELECT title FROM titles").stdout.strip() == "How to keep a shelf"
        assert ask("INSERT INTO books (title, owner) VALUES ('  Mine ', 1)").returncode == 0
        assert ask("SELECT title FROM titles ORDER BY title").stdout.split("\n")[1] == "Mine"
    assert len(templates_of(shelves.one, shelves.two)) == 1
    wait("the server counts its databases", lambda: get("dbs", MARIA)["status"]["databases"] >= 2, 60)


def test_a_neighbours_role_on_mariadb_can_reach_nothing(shelves):
    mine, own = access(f"{shelves.one}/crm"), access(f"{shelves.two}/crm")
    ask = lambda database, sql: query_mariadb(MARIA, database, sql, own["username"], own["password"])  # noqa: E731
    assert ask(own["database"], "SELECT count(*) FROM books").returncode == 0
    for database in (mine["database"], "tenantry_registry", "mysql"):
        assert "Access denied" in ask(database, "SELECT 1").stderr, database
    for sql in (f"SELECT * FROM `{mine['database']}`.books", f"INSERT INTO `{mine['database']}`.books (title) VALUES ('x')",
                f"DROP DATABASE `{mine['database']}`", f"CREATE TABLE `{mine['database']}`.x (id int)",
                "SELECT * FROM mysql.global_priv", "CREATE DATABASE mine", "CREATE USER x",
                f"ALTER USER '{mine['username']}' IDENTIFIED BY 'x'", "SET GLOBAL max_connections = 1",
                "SELECT 'x' INTO OUTFILE '/tmp/x'"):
        refused = ask(own["database"], sql)
        assert refused.returncode != 0 and "denied" in refused.stderr, (sql, refused)
    seen = ask(own["database"], "SHOW DATABASES").stdout.split()
    assert set(seen) <= {own["database"], "information_schema"}, seen


@after(test_a_product_of_sql_alone_is_installed_once_on_mariadb_and_copied_for_each_tenant)
def test_data_on_mariadb_is_archived_adopted_and_purged_only_by_name(shelves):
    one, two = shelves.one, shelves.two
    before, mine = access(f"{one}/crm"), instance(f"{one}/crm")
    tenant = get("tenant", one)["spec"]["id"]
    tenantry("tenant", "archive", one, "--confirm", one)
    kept = [a for a in archives_of(tenant) if a["spec"]["kind"] == "CrmInstance"]
    assert kept[0]["spec"]["databases"] == [{"server": MARIA, "name": before["database"]}], kept
    locked = query_mariadb(MARIA, before["database"], "SELECT 1", before["username"], before["password"])
    assert locked.returncode != 0 and "locked" in locked.stderr, locked
    assert query_mariadb(MARIA, before["database"], "SELECT count(*) FROM books").stdout.strip() == "2"

    whole = next(a for a in archives_of(tenant) if a["spec"]["kind"] == "Tenant")
    tenantry("tenant", "adopt", whole["metadata"]["name"], "--wait", "--timeout", "3m")
    back, own = instance(f"{one}/crm"), access(f"{one}/crm")
    assert back["spec"]["id"] == mine["spec"]["id"] and own["database"] == before["database"]
    books = query_mariadb(MARIA, own["database"], "SELECT title FROM titles ORDER BY title", own["username"], own["password"])
    assert books.stdout.split("\n")[:2] == ["How to keep a shelf", "Mine"], books
    assert fetch(f"{one}.example", "/healthz")[0] == 200

    tenantry("tenant", "archive", one, "--confirm", one)
    refused = tenantry("tenant", "purge", one, "--confirm", two, "--before-retention", ok=False)
    assert refused.returncode != 0
    tenantry("tenant", "purge", one, "--confirm", one, "--before-retention", timeout=300)
    left = query_mariadb(MARIA, "mysql", "SHOW DATABASES").stdout.split()
    assert before["database"] not in left and access(f"{two}/crm")["database"] in left, left
    users = query_mariadb(MARIA, "mysql", "SELECT User FROM global_priv").stdout.split()
    assert before["username"] not in users, users
    assert kinds(mine["spec"]["id"]) == ["installed", "archived", "adopted", "archived", "purged"], kinds(mine["spec"]["id"])
    assert fetch(f"{two}.example", "/healthz")[0] == 200


@after(test_an_early_release_is_installed_while_the_others_go_on)
def test_a_crm_of_the_newer_series_works_in_all_that_people_do(operator):
    name, host = f"{OCTO}/crm", f"crm.{OCTO}.example"
    status = ready(name, 900)["status"]
    assert status["release"] == "8.0", status
    crm = session(name, host)
    assert crm.version().startswith("8.0"), crm.version()
    party = crm.make_party("Eighth Customer Ltd.")
    opportunity = crm.make_opportunity("80 desks", party)
    seen = crm.opportunity(opportunity)
    assert seen["description"] == "80 desks" and seen["party"] == party and seen["state"] == "lead", seen
    assert crm.party(party)["name"] == "Eighth Customer Ltd."
    assert kinds(instance(name)["spec"]["id"]) == ["installed"]
    rush(name, host)
