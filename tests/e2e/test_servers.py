"""Database servers that go away or are full: said, waited for, over when they are back. Does I/O (mounts a tmpfs)."""

import tempfile
from pathlib import Path

from harness import apply, get, kubectl, run, tenantry, wait
from mariadb import MARIA
from marks import alone, own_cluster
from products import notes
from tryton import RpcError
from world import (HERE, SYSTEM, archives_of, condition, fetch, instance, query, ready, server_is, session, tenant_with,
                   there, unique, untouched)


class Away:
    """A managed server whose pod finds no node; it comes back at the end, whatever happens."""

    def __init__(self, server):
        self.pod = f"dbs-{server}-0"
        self.node = get("nodes")["items"][0]["metadata"]["name"]

    def __enter__(self):
        kubectl("cordon", self.node)
        kubectl("-n", SYSTEM, "delete", "pod", self.pod)

    def __exit__(self, *_):
        kubectl("uncordon", self.node)


@alone("takes the node and a database server away")
@own_cluster("the only node can be taken away")
def test_a_database_server_that_goes_away_is_said_waited_for_and_found_again(acme, mariadb):
    kubectl("apply", "--server-side", "-f", str(HERE / "shelf.yaml"))
    old, new = unique("before"), unique("during")
    tenant_with(old, "shelf")
    before = untouched("acme/crm")
    with Away(MARIA):
        server = server_is(MARIA, "Unreachable", 60)
        gone = condition(server, "Reachable")
        assert gone["status"] == "False" and gone["reason"] in ("DatabaseServerUnreachable", "NoNode"), gone
        assert condition(server, "Ready")["status"] == "False" and "cannot be reached" in gone["message"], gone
        # What serves without its database goes on serving.
        assert fetch(f"{old}.example", "/healthz")[0] == 200
        tenant_with(new, "shelf", ready=False)
        def waits():
            said = condition(instance(f"{new}/crm"), "DatabaseReady")
            return said.get("status") == "False" and MARIA in said["message"] and said
        said = wait("the new tenant says for what it waits", waits, 60)
        assert "does not answer" in said["message"] or "cannot be reached" in said["message"], said
        assert "kubectl" in said["message"] or "tenantry" in said["message"] or "add a DatabaseServer" in said["message"], said
        # Nobody on another server notices.
        assert session("acme/crm", "crm.acme.example").version().startswith("7.0")
        assert untouched("acme/crm") == before
    server_is(MARIA, "Ready", 120)
    ready(f"{new}/crm", 120)
    ready(f"{old}/crm", 60)
    assert fetch(f"{new}.example", "/healthz")[0] == 200


def told(name, server):
    """What an instance says of its own while its database is away; nothing when it says that all is well."""
    now = instance(name)
    said = condition(now, "Ready")
    return said["message"] if said["status"] == "False" and server in said["message"] else None


@alone("takes the node and the database server of the others away")
@own_cluster("the only node can be taken away")
def test_a_crm_whose_database_is_away_says_so_and_works_again_by_itself(acme):
    pods = untouched("acme/crm")["acme/crm"][2]
    with Away("pg-shared-1"):
        server_is("pg-shared-1", "Unreachable", 60)
        try:
            session("acme/crm", "crm.acme.example", seconds=2)
            raise AssertionError("somebody logged in without a database")
        except (RpcError, OSError):
            pass
        said = None
        try:
            said = wait("acme/crm says that its database is away", lambda: told("acme/crm", "pg-shared-1"), 30)
        except AssertionError as silent:
            missing = silent
    server_is("pg-shared-1", "Ready", 120)
    assert session("acme/crm", "crm.acme.example").version().startswith("7.0")
    ready("acme/crm", 120)
    assert untouched("acme/crm")["acme/crm"][2] == pods, "a process had to be started anew"
    if said is None:
        raise missing


def small_server(name, folder):
    """A PostgreSQL whose volume really is small: the folder is a tmpfs."""
    apply(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
            "capacity": {"storage": "300Mi"}, "accessModes": ["ReadWriteOnce"], "storageClassName": name,
            "persistentVolumeReclaimPolicy": "Retain", "hostPath": {"path": folder, "type": "Directory"}}},
        {"apiVersion": "tenantry.dev/v1alpha1", "kind": "DatabaseServer", "metadata": {"name": name}, "spec": {
            "engine": "postgresql", "accepting": True, "managed": {
                "image": "tenantry.local/postgresql:15", "storage": "300Mi", "storageClass": name,
                "args": ["-c", "max_wal_size=64MB", "-c", "min_wal_size=32MB"]}}})
    server_is(name, "Ready", 120)


@own_cluster("the folder of a volume is on this machine")
def test_a_full_disk_is_said_and_over_when_there_is_room_again(acme):
    name, one, two = unique("small"), unique("roomy"), unique("squeezed")
    with tempfile.TemporaryDirectory() as folder:
        run("mount", "-t", "tmpfs", "-o", "size=256m,mode=0777", name, folder)
        try:
            small_server(name, folder)
            apply(notes(name))
            tenant_with(one, name, "--database-server", name)
            balloon = Path(folder) / "balloon"
            free = run("df", "--output=avail", "-k", folder).stdout.split()[-1]
            run("fallocate", "-l", f"{int(free) - 1024}KiB", str(balloon))
            tenant_with(two, name, "--database-server", name, ready=False)
            def full():
                said = condition(instance(f"{two}/crm"), "DatabaseReady")
                return said.get("status") == "False" and "full" in said["message"] and said
            said = wait("the new tenant says that the disk is full", full, 90)
            assert name in said["message"] and "free space or enlarge" in said["message"], said
            assert fetch(f"{one}.example", "/healthz")[0] == 200
            assert session("acme/crm", "crm.acme.example").version().startswith("7.0")
            balloon.unlink()
            ready(f"{two}/crm", 180)
            server_is(name, "Ready", 60)
            own = instance(f"{one}/crm")
            kept = query(own["status"]["database"]["name"], "SELECT text FROM notes", server=name)
            assert kept.stdout.strip() == own["spec"]["id"], kept
            take_away(name, one, two)
        finally:
            run("umount", "-l", folder)


def take_away(server, *tenants):
    """A server goes when it holds nothing of anyone, and not before; its volume stays even then."""
    kubectl("delete", "dbs", server, "--wait=false")
    wait("the server says what keeps it", lambda: condition(get("dbs", server), "Ready").get("reason") == "HoldsDatabases", 60)
    # Those on it go on as before.
    assert get("dbs", server)["status"]["phase"] == "Ready", get("dbs", server)["status"]
    for tenant in tenants:
        said = condition(instance(f"{tenant}/crm"), "DatabaseReachable")
        assert said["status"] == "True", said
        tenantry("tenant", "archive", tenant, "--confirm", tenant)
        tenantry("tenant", "purge", tenant, "--confirm", tenant, "--before-retention")
    wait("the server is gone", lambda: not there("dbs", server), 150)
    wait("its pod is gone", lambda: not there("pod", "-n", SYSTEM, f"dbs-{server}-0"), 90)
    name = f"data-dbs-{server}-0"
    assert get("pvc", "-n", SYSTEM, name)["status"]["phase"] == "Bound"
    refused = kubectl("-n", SYSTEM, "delete", "pvc", name, "--wait=false", ok=False)
    assert refused.returncode != 0 and "confirm-deletion" in refused.stderr, refused
    kubectl("-n", SYSTEM, "annotate", "pvc", name, f"tenantry.dev/confirm-deletion={name}")
    kubectl("-n", SYSTEM, "delete", "pvc", name, "--wait=false")
    kubectl("delete", "pv", server, "--wait=false")
    assert not [a for t in tenants for a in archives_of(t)]
