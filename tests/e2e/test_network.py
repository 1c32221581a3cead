"""Rules for the network, where they are enforced: whom a CRM, its copy and a database server can reach. Does I/O.

Addresses of neighbours, clouds and the world are put on this machine's loopback, with a server behind them: a pod
that no rule holds reaches all of them, which is tried first. Needs root.
"""

import http.server
import threading
from contextlib import contextmanager

import pytest
from harness import ADDRESS, get, kubectl, run, tenantry, wait
from mailserver import host
from marks import own_cluster
from world import SYSTEM, instance, ready, tenant_with, unique

pytestmark = [pytest.mark.usefixtures("site"), own_cluster("its rules for the network are enforced, and its node is this machine")]
WORLD = "203.0.113.7"
# Link-local, node credentials on two clouds, protocol assignments, benchmarks, and a neighbour's private network.
INSIDE = ["169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.7", "10.250.0.5"]
PORTS = [53, 5432, 8099]
TRY = """
import socket, sys
from concurrent.futures import ThreadPoolExecutor

def reached(place):
    host, port = place.rsplit(':', 1)
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except ConnectionRefusedError:
        pass
    except OSError:
        return False
    return True

with ThreadPoolExecutor(16) as many:
    found = list(many.map(reached, sys.argv[1:]))
print(*[place for place, ok in zip(sys.argv[1:], found) if ok])
"""


@contextmanager
def addresses():
    """The addresses on this machine, each answering on all ports."""
    servers, added = [], []
    try:
        for address in [WORLD, *INSIDE]:
            run("ip", "address", "add", f"{address}/32", "dev", "lo")
            added.append(address)
            for port in PORTS:
                server = http.server.ThreadingHTTPServer((address, port), http.server.BaseHTTPRequestHandler)
                threading.Thread(target=server.serve_forever, daemon=True).start()
                servers.append(server)
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
        for address in added:
            run("ip", "address", "del", f"{address}/32", "dev", "lo", ok=False)


def node():
    """The ingress, which answers on the node's own address."""
    return f"{host()}:{ADDRESS.rsplit(':', 1)[1]}"


def everywhere(*more):
    return {f"{address}:{port}" for address in [WORLD, *INSIDE] for port in PORTS} | set(more)


def reached(namespace, pod, places):
    """Those of the places that a pod comes to; a connection that is refused has come there, too."""
    said = kubectl("-n", namespace, "exec", pod, "--", "python3", "-c", TRY, *sorted(places), timeout=300)
    return set(said.stdout.split())


def web(name):
    """Namespace, Deployment, and address and port of a pod of the web process of an instance."""
    now = instance(name)
    namespace, own = now["metadata"]["namespace"], now["spec"]["id"]
    pods = get("pods", "-n", namespace, "-l", f"tenantry.dev/instance-id={own},tenantry.dev/process=web")["items"]
    [pod] = [p for p in pods if "deletionTimestamp" not in p["metadata"]]
    port = pod["spec"]["containers"][0]["ports"][0]["containerPort"]
    return namespace, f"deploy/{own}-web", f"{pod['status']['podIP']}:{port}", pod["spec"]["containers"][0]["image"]


@pytest.fixture(scope="module")
def one(operator):
    """The name of a tenant with a Tryton."""
    name = unique("net")
    tenant_with(name, "tryton")
    return name


@pytest.fixture(scope="module")
def two(operator):
    """The name of its neighbour."""
    name = unique("near")
    tenant_with(name, "tryton")
    return name


def test_a_crm_reaches_the_world_and_its_database_but_no_neighbour_and_no_address_inside(one, two):
    namespace, deployment, own, image = web(f"{one}/crm")
    _, _, neighbour, _ = web(f"{two}/crm")
    free = unique("free")
    command = ["python3", "-c", "import time; time.sleep(900)"]
    kubectl("-n", "default", "run", free, f"--image={image}", "--image-pull-policy=IfNotPresent", "--restart=Never", "--command", "--", *command)
    try:
        kubectl("-n", "default", "wait", "--for=condition=Ready", f"pod/{free}", "--timeout=60s")
        with addresses():
            asked = everywhere(own, node())
            assert reached("default", free, asked - {own}) == asked - {own}, "these would not show anything"
            # The neighbour's own rules let nobody in, whoever asks.
            assert reached("default", free, {own, neighbour}) == set()
            database = f"dbs-pg-shared-1.{SYSTEM}.svc:5432"
            found = reached(namespace, deployment, asked | {neighbour, database})
            assert found == {own, database} | {f"{WORLD}:{port}" for port in PORTS}, found
    finally:
        kubectl("-n", "default", "delete", "pod", free, "--grace-period=0", "--force")


def test_a_copy_reaches_its_database_and_nobody_else_not_even_another_dns(one, two):
    name = one
    tenantry("instance", "create", f"{name}/staging", "--from", f"{name}/crm", "--wait", "--timeout", "10m")
    ready(f"{name}/staging")
    namespace, deployment, own, _ = web(f"{name}/staging")
    _, _, original, _ = web(f"{name}/crm")
    _, _, neighbour, _ = web(f"{two}/crm")
    database = f"dbs-pg-shared-1.{SYSTEM}.svc:5432"
    with addresses():
        found = reached(namespace, deployment, everywhere(own, original, neighbour, node(), database))
    # Names are resolved: the database is asked by its name.
    assert found == {own, database}, found


def test_a_database_server_writes_to_nobody(two):
    _, _, neighbour, _ = web(f"{two}/crm")
    with addresses():
        for place in (f"{WORLD}:8099", "10.250.0.5:5432", neighbour):
            host, port = place.rsplit(":", 1)
            words = ["psql", f"host={host} port={port} user=x dbname=x connect_timeout=2", "-c", "SELECT 1"]
            said = kubectl("-n", SYSTEM, "exec", "dbs-pg-shared-1-0", "--", *words, ok=False)
            assert said.returncode and "timeout expired" in said.stderr, (place, said)


def test_what_the_site_opens_inside_is_reached_by_production_and_what_it_closes_by_nobody(one):
    name = one
    namespace, deployment, _, _ = web(f"{name}/crm")

    def opened(site, expected):
        kubectl("patch", "site", "site", "--type=merge", "-p", site)
        places = everywhere()
        wait(f"{expected} is what is reached", lambda: reached(namespace, deployment, places) == expected, 60)
    with addresses():
        try:
            world = {f"{WORLD}:{port}" for port in PORTS}
            opened('{"spec":{"internalCidrs":["10.250.0.0/24"]}}', world | {f"10.250.0.5:{port}" for port in PORTS})
            opened('{"spec":{"closedCidrs":["203.0.113.0/24","10.250.0.5/32"]}}', set())
        finally:
            opened('{"spec":{"internalCidrs":null,"closedCidrs":null}}', world)
