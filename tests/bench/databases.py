"""Tenants with a database in a real PostgreSQL, beside bare copies of the same template there. Does I/O."""

import time

from api import MERGE, PATHS, SYSTEM, TENANTRY, Refused
from audit import Audit
from cost import Cost
from fleet import create_tenants, instance_of, names_of, settle, tenant_of
from postgres import PASSWORD, Postgres
from report import detail, row

# Tryton's template: about 150 tables and 44 MB.
TABLES, ROWS = 150, 300
PERSONALISE = "INSERT INTO bench_1 VALUES (0, '{{ instance.id }}') ON CONFLICT (id) DO UPDATE SET note = EXCLUDED.note"
BLUEPRINT = {
    "title": "A product of the bench with a database",
    "database": {"engines": [{"engine": "postgresql", "minVersion": 13}]},
    "secrets": [{"name": "key"}],
    "files": [{"path": "/etc/product.conf", "content": "password={{ database.password }}\nkey={{ secrets.key }}\n"}],
    "releases": [{"version": "1.0", "image": "tenantry.local/product:1.0"}],
    "install": {"steps": [{"name": "tables", "command": ["install"]}]},
    "personalise": {"steps": [{"name": "own", "sql": PERSONALISE}]},
    "processes": [{"name": "web", "port": 8080, "serves": True, "replicas": {"default": 0, "max": 1}}],
}


def wait(what, condition, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s in vain until {what}")


def tables(role):
    """What an install would make, as the build role."""
    lines = [f'SET ROLE "{role}";']
    for n in range(1, TABLES + 1):
        lines.append(f"CREATE TABLE bench_{n} (id int PRIMARY KEY, note text NOT NULL);"
                     f"CREATE INDEX ON bench_{n} (note);"
                     f"INSERT INTO bench_{n} SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, {ROWS}) i;")
    return "\n".join(lines)


def build_template(world, server):
    """The first tenant of the product. Its install job has no node to run on: this fills the template in its stead."""
    names = names_of("db-first")
    world.api.create(f"{TENANTRY}/tenants", tenant_of(names, "fibo-2"))
    space = f"tenant-{names['tenant_id']}"
    path = f"{TENANTRY}/namespaces/{space}/crminstances"

    def made():
        try:
            return world.api.create(path, instance_of(names, "bench-database"))
        except Refused:
            return None

    wait("the namespace is there", made)
    pods = f"/api/v1/namespaces/{SYSTEM}/pods"
    query = "?labelSelector=tenantry.dev%2Fpurpose%3Dinstall"
    pod = wait("the install job has a pod", lambda: world.api.get(pods + query)["items"])[0]
    name = server.run("SELECT datname FROM pg_database WHERE datname LIKE 'tpl\\_%'")
    server.run(tables(name), name)
    body = {"status": {"phase": "Succeeded"}}
    world.api.ask("PATCH", f"{pods}/{pod['metadata']['name']}/status", body, MERGE)

    def ready():
        return world.api.get(f"{path}/crm").get("status", {}).get("phase") == "Ready"

    wait("the first tenant is Ready", ready)
    return name


def copies(template, prefix, numbers):
    """Bare SQL for some tenants: role, copy, rights, ownership, one statement of its own."""
    lines = []
    for number in numbers:
        name = f"{prefix}_{number}"
        lines += [
            "\\connect postgres",
            f"CREATE ROLE {name} LOGIN PASSWORD 'bench{number}Password' CONNECTION LIMIT 50;",
            f"CREATE DATABASE {name} TEMPLATE {template};",
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC; GRANT CONNECT, TEMPORARY ON DATABASE {name} TO {name};",
            f"\\connect {name}",
            f"GRANT CREATE, USAGE ON SCHEMA public TO {name}; REASSIGN OWNED BY {template} TO {name};",
            PERSONALISE.replace("{{ instance.id }}", name) + ";",
        ]
    return "\n".join(lines) + "\n"


def bare(server, template, prefix, count, at_once):
    """Makes databases with some psql at a time; returns the seconds that it took."""
    begin = time.monotonic()
    running = [server.start(copies(template, prefix, range(n, count, at_once))) for n in range(at_once)]
    for one in running:
        server.end(one)
    return time.monotonic() - begin


def run(world, count):
    """The figure `databases`."""
    server = Postgres()
    # It stays for what comes after: an idle operator asks its servers too.
    world.after.append(server.stop)
    world.api.create(PATHS["Secret"].format(ns=SYSTEM), {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pg-bench"},
        "stringData": {"username": "postgres", "password": PASSWORD}})
    world.api.create(f"{TENANTRY}/databaseservers", {
        "apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": "pg-bench"},
        "spec": {"engine": "postgresql", "external": {
            "host": "127.0.0.1", "port": server.port, "secretName": "pg-bench", "cidrs": ["127.0.0.1/32"]}}})
    world.blueprint("bench-database", BLUEPRINT)
    template = build_template(world, server)
    size = int(server.run(f"SELECT pg_database_size('{template}')")) / 1e6
    settle(lambda: Audit(world.state))
    # Half of the bare copies before and half after; each way of copying has its turn in both places.
    half = max(4, count // 2)
    seconds = {at_once: bare(server, template, f"bare_a{at_once}", half, at_once) for at_once in (1, 4)}
    audit, cost = Audit(world.state), Cost(operator=world.controller.process.pid)
    took, ready = create_tenants(world.api, [names_of(f"db-{n:05}") for n in range(count)], "bench-database")
    spent, asked = cost.so_far(), audit.count()
    settle(lambda: Audit(world.state))
    for at_once in (4, 1):
        seconds[at_once] += bare(server, template, f"bare_b{at_once}", half, at_once)
    best = min(seconds, key=seconds.get)
    rate, bare_rate = count / took, 2 * half / seconds[best]
    row("databases", f"{count} tenants with a database of {size:.0f} MB", "/s", rate, bare_rate,
        f"/s bare copies, {best} at once", rate / bare_rate)
    detail("databases", tenants=count, template_mb=size, seconds=took, first_ready=ready[0], asked=asked, cost=spent,
           bare_seconds={str(k): v for k, v in seconds.items()}, bare_databases=2 * half)
