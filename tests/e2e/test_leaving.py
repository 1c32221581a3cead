"""Tenantry is taken away and comes back: tenants and their data are as they were. Does I/O."""

from chart import install
from harness import apply, get, kubectl, tenantry, wait
from marks import alone
from products import notes
from world import (SYSTEM, events, instance, nothing_is_billed_twice, query, ready, session, tenant_with, there, unique,
                   untouched)

pytestmark = alone("takes Tenantry away")


def confirmed():
    """The name that an uninstall asks for."""
    return kubectl("config", "current-context").stdout.strip()


def test_uninstalling_takes_the_operator_and_nothing_of_a_tenant(acme):
    apply(notes(unique("later")))
    crm = session("acme/crm", "crm.acme.example")
    party = crm.make_party("Customer of the last day")
    database = instance("acme/crm")["status"]["database"]["name"]
    before, ledger = untouched("acme/crm"), len(get("billingevents", "-n", SYSTEM)["items"])
    unsure = tenantry("uninstall", ok=False)
    assert unsure.returncode in (2, 4) and "--confirm" in unsure.stderr and there("deployment", "tenantry-operator", "-n", SYSTEM)
    used = tenantry("uninstall", "--purge-crds", "--confirm", confirmed(), ok=False)
    assert used.returncode == 4 and "in use" in used.stderr and "Tenant" in used.stderr, used
    assert there("crd", "tenants.tenantry.dev") and there("deployment", "tenantry-operator", "-n", SYSTEM)

    said = tenantry("uninstall", "--confirm", confirmed()).stdout
    assert "data" in said, said
    try:
        wait("the operator is gone", lambda: not there("deployment", "tenantry-operator", "-n", SYSTEM), 60)
        for kept in (("tenant", "acme"), ("site", "site"), ("dbs", "pg-shared-1"), ("plan", "fibo-1"), ("blueprint", "tryton"),
                     ("statefulset", "dbs-pg-shared-1", "-n", SYSTEM), ("crd", "archives.tenantry.dev")):
            assert there(*kept), kept
        # People go on working, and what protects their data still does.
        assert session("acme/crm", "crm.acme.example").party(party)["name"] == "Customer of the last day"
        assert query(database, f"SELECT name FROM party_party WHERE id = {party}").stdout.strip() == "Customer of the last day"
        for words in (("namespace", instance("acme/crm")["metadata"]["namespace"]), ("secrets", "--all", "-n",
                      instance("acme/crm")["metadata"]["namespace"]), ("crd", "archives.tenantry.dev"), ("site", "site"),
                      ("plan", "fibo-1"), ("configmaps", "--all", "-n", SYSTEM)):
            refused = kubectl("delete", *words, "--wait=false", "--dry-run=server", ok=False)
            assert refused.returncode != 0, words
        assert untouched("acme/crm") == before
    finally:
        install()
    ready("acme/crm", 120)
    assert untouched("acme/crm") == before, "coming back started something anew"
    assert session("acme/crm", "crm.acme.example").party(party)["name"] == "Customer of the last day"
    assert len(get("billingevents", "-n", SYSTEM)["items"]) == ledger, events(instance("acme/crm")["spec"]["id"])
    name = unique("returned")
    tenant_with(name, unique("later"))
    nothing_is_billed_twice()
