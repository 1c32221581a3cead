"""The other series of the real CRM, and the other engine. Does I/O."""

import json

from harness import apply, check, get, kubectl, tenantry, wait
from world import HERE, access, archives_of, fetch, instance, kinds, query_mariadb, ready, rush, session, tenant_with, there, unique

MARIA = "maria-1"
STATE = {}


def mariadb_server():
    """The server, made by a manifest like the one in manifests/examples, unless it is there."""
    if not there("dbs", MARIA):
        apply({"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": MARIA}, "spec": {
            "engine": "mariadb", "maxDatabases": 12,
            "managed": {"image": "tenantry.local/mariadb:10.11", "storage": "5G"}}})
    return wait("the server is Ready", lambda: (lambda s: s if s["status"]["phase"] == "Ready" else None)(get("dbs", MARIA)), 120)


def templates_of(*names):
    """Names of the templates from which the databases of these tenants' instances on MariaDB were made."""
    databases = ", ".join(f"'{access(f'{name}/crm')['database']}'" for name in names)
    asked = query_mariadb(MARIA, "tenantry_registry", f"SELECT DISTINCT template FROM `databases` WHERE name IN ({databases})")
    found = asked.stdout.split()
    assert asked.returncode == 0 and found and "NULL" not in found, asked
    return found


@check
def a_crm_of_the_newer_series_works_in_all_that_people_do():
    if not there("tenant", "octo"):
        tenantry("tenant", "create", "octo", "--blueprint", "tryton", "--release", "8.0", "--plan", "fibo-1",
                 "--host", "crm.octo.example")
    status = ready("octo/crm", 900)["status"]
    assert status["release"] == "8.0", status
    crm = session("octo/crm", "crm.octo.example")
    assert crm.version().startswith("8.0"), crm.version()
    party = crm.make_party("Eighth Customer Ltd.")
    opportunity = crm.make_opportunity("80 desks", party)
    seen = crm.opportunity(opportunity)
    assert seen["description"] == "80 desks" and seen["party"] == party and seen["state"] == "lead", seen
    assert crm.party(party)["name"] == "Eighth Customer Ltd."
    assert kinds(instance("octo/crm")["spec"]["id"]) == ["installed"]
    rush("octo/crm", "crm.octo.example")


@check
def a_mariadb_server_made_by_a_manifest_is_ready_with_version_and_room():
    server = mariadb_server()
    status = server["status"]
    assert status["versionMajor"] == 10 and "10.11" in status["version"] and "MariaDB" in status["version"], status
    assert status["port"] == 3306 and status["host"].startswith(f"dbs-{MARIA}."), status
    shown = json.loads(tenantry("database-server", "show", MARIA, "-o", "json").stdout)
    assert f'"databases": {status["databases"]}' in json.dumps(shown) and '"maxDatabases": 12' in json.dumps(shown), shown
    text = tenantry("database-server", "show", MARIA).stdout
    assert "10.11" in text and f"{status['databases']} of 12" in text, text


@check
def a_product_of_sql_alone_is_installed_once_on_mariadb_and_copied_for_each_tenant():
    mariadb_server()
    kubectl("apply", "--server-side", "-f", str(HERE / "shelf.yaml"))
    STATE["one"], STATE["two"] = unique("shelf-a"), unique("shelf-b")
    for name in (STATE["one"], STATE["two"]):
        tenant_with(name, "shelf")
        now = instance(f"{name}/crm")
        assert now["status"]["database"]["server"] == MARIA, now["status"]
        assert fetch(f"{name}.example", "/healthz")[0] == 200 and "mariadb" in fetch(f"{name}.example")[1]
        own = access(f"{name}/crm")
        ask = lambda sql: query_mariadb(MARIA, own["database"], sql, own["username"], own["password"])  # noqa: E731
        assert ask("SELECT name FROM owner").stdout.strip() == name
        assert ask("SELECT title FROM titles").stdout.strip() == "How to keep a shelf"
        assert ask("INSERT INTO books (title, owner) VALUES ('  Mine ', 1)").returncode == 0
        assert ask("SELECT title FROM titles ORDER BY title").stdout.split("\n")[1] == "Mine"
    assert len(templates_of(STATE["one"], STATE["two"])) == 1
    wait("the server counts its databases", lambda: get("dbs", MARIA)["status"]["databases"] >= 2, 60)


@check
def a_neighbours_role_on_mariadb_can_reach_nothing():
    mine, own = access(f"{STATE['one']}/crm"), access(f"{STATE['two']}/crm")
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


@check
def data_on_mariadb_is_archived_adopted_and_purged_only_by_name():
    one, two = STATE["one"], STATE["two"]
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
