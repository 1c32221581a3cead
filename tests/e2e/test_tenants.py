"""The main flow: tenants of a real CRM from their first day to the purge of their data. Does I/O."""

import json
from types import SimpleNamespace

import pytest
from harness import get, kubectl, tenantry, wait
from marks import after
from world import HERE, events, fetch, instance, kinds, query, rush, secret, serving, session, unique


def made(word, plan):
    """A tenant of the real CRM with a name of its own."""
    name = unique(word)
    host = f"crm.{name}.example"
    tenantry("tenant", "create", name, "--blueprint", "tryton", "--plan", plan, "--host", host, "--wait", "--timeout", "15m")
    crm = f"{name}/crm"
    return SimpleNamespace(name=name, crm=crm, host=host, id=instance(crm)["spec"]["id"], tenant=get("tenant", name)["spec"]["id"])


@pytest.fixture(scope="module")
def first(operator):
    """The tenant of this story, with a customer and an opportunity in its CRM."""
    first = made("first", "fibo-2")
    crm = session(first.crm, first.host)
    first.party = crm.make_party("First Customer Ltd.")
    first.opportunity = crm.make_opportunity("500 chairs", first.party)
    return first


@pytest.fixture(scope="module")
def second(first):
    """Its neighbour, made from the same template."""
    second = made("second", "fibo-1")
    session(second.crm, second.host).make_party("Someone Else")
    return second


def test_an_unknown_plan_or_blueprint_is_refused_before_anything_is_made(operator):
    wrong = tenantry("tenant", "create", "nope", "--blueprint", "tryton", "--plan", "fibo-9", "--host", "a.example", ok=False)
    assert wrong.returncode == 3 and "fibo-9" in wrong.stderr and "fibo-2" in wrong.stderr, wrong
    wrong = tenantry("tenant", "create", "nope", "--blueprint", "sap", "--plan", "fibo-2", "--host", "a.example", ok=False)
    assert wrong.returncode == 3 and "sap" in wrong.stderr, wrong
    assert kubectl("get", "tenant", "nope", ok=False).returncode != 0


def test_the_first_tenant_gets_a_crm_that_it_can_log_in_to(first):
    crm = session(first.crm, first.host)
    assert crm.version().startswith("7.0")
    assert crm.opportunity(first.opportunity)["description"] == "500 chairs"
    assert kinds(first.id) == ["installed"], kinds(first.id)
    assert events(first.id)[0]["after"]["limits"]["seats"] == 7


def test_the_second_tenant_comes_from_the_template_and_has_its_own_password(first, second):
    passwords = {tenantry("instance", "password", t.crm).stdout.strip() for t in (first, second)}
    assert len(passwords) == 2
    databases = ", ".join(f"'{instance(t.crm)['status']['database']['name']}'" for t in (first, second))
    template, = query("tenantry_registry", f"SELECT DISTINCT template FROM databases WHERE name IN ({databases})").stdout.split()
    assert template.startswith("tpl_"), template
    # Built once, however many wanted it at the same time.
    attempts = query("tenantry_registry", f"SELECT generation FROM databases WHERE name = '{template}'").stdout.strip()
    assert attempts == "1", f"the template took {attempts} attempts"


def test_pods_of_tenants_run_restricted_and_hold_no_token(first):
    namespace = f"tenant-{first.tenant}"
    labels = get("namespace", namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted", labels
    for pod in get("pods", "-n", namespace)["items"]:
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            text = json.dumps(container.get("env", []))
            assert '"value"' not in text, "an environment value stands in the pod instead of its Secret"


def test_everybody_of_many_who_log_in_at_once_comes_in_and_no_pod_ends(first):
    rush(first.crm, first.host)


def test_a_neighbours_role_can_reach_nothing(first, second):
    beta = instance(second.crm)
    access = secret(beta["metadata"]["namespace"], f"{beta['spec']['id']}-database-g1")
    mine = instance(first.crm)["status"]["database"]["name"]
    user, password = access["username"], access["password"]
    own = query(access["database"], "SELECT count(*) FROM party_party", user, password)
    assert own.returncode == 0, own.stderr
    for database in (mine, "tenantry_registry", "postgres", "template1"):
        other = query(database, "SELECT 1", user, password)
        assert other.returncode != 0 and "permission denied" in other.stderr, (database, other)
    drop = query(access["database"], f'DROP DATABASE "{mine}"', user, password)
    assert drop.returncode != 0 and "must be owner" in drop.stderr, drop


def test_a_host_that_is_taken_is_refused_with_its_owner_and_disturbs_nobody(first):
    third = unique("third")
    tenantry("tenant", "create", third, "--blueprint", "tryton", "--plan", "fibo-1", "--host", first.host)
    wait("the instance says that the host is taken", lambda: any(
        c["reason"] == "HostTaken" and first.crm in c["message"]
        for c in instance(f"{third}/crm")["status"]["conditions"]), 60)
    assert session(first.crm, first.host).party(first.party)["name"] == "First Customer Ltd."
    tenantry("tenant", "archive", third, "--confirm", third)
    assert session(first.crm, first.host).party(first.party)


def test_children_that_are_deleted_or_edited_by_hand_come_back(first):
    namespace, name = f"tenant-{first.tenant}", first.id
    kubectl("-n", namespace, "delete", "service", name)
    wait("the Service is back", lambda: kubectl("-n", namespace, "get", "service", name, ok=False).returncode == 0, 60)
    kubectl("-n", namespace, "scale", f"deployment/{name}-web", "--replicas=0")
    wait("the process is back", lambda: get("deployment", f"{name}-web", "-n", namespace)["spec"]["replicas"] == 1, 60)
    kubectl("-n", namespace, "delete", "ingress", name)
    wait("it answers again", lambda: fetch(first.host)[0] == 200, 90)


def test_suspending_puts_a_page_up_and_resuming_brings_the_same_crm_back(first):
    tenantry("tenant", "suspend", first.name, "--reason", "the invoice of May", "--wait", "--timeout", "3m")
    # Nothing is waited for after either: the command has.
    status, body = fetch(first.host)
    assert status == 503 and "the invoice of May" in body, (status, body[:500])
    left = [d for d in get("deployments", "-n", f"tenant-{first.tenant}")["items"]
            if not d["metadata"]["name"].endswith("-page") and (d["spec"]["replicas"] or d["status"].get("replicas"))]
    assert not left, left
    resumed = tenantry("tenant", "resume", first.name, "--wait", "--timeout", "5m")
    assert fetch(first.host)[0] == 200
    assert "through the ingress" in resumed.stderr, resumed.stderr
    crm = session(first.crm, first.host)
    assert crm.opportunity(first.opportunity)["description"] == "500 chairs"
    assert kinds(first.tenant) == ["suspended", "resumed"], kinds(first.tenant)


def test_a_changed_plan_is_an_event_and_restarts_nothing(first):
    namespace = f"tenant-{first.tenant}"
    before = {p["metadata"]["uid"] for p in serving(namespace)}
    assert before
    tenantry("tenant", "set", first.name, "--plan", "fibo-3")
    wait("the change is recorded", lambda: kinds(first.tenant)[-1] == "limits-changed")
    assert events(first.tenant)[-1]["after"]["limits"]["seats"] == 10
    assert before == {p["metadata"]["uid"] for p in serving(namespace)}, "a pod was started anew"


def test_losing_every_status_loses_no_database_and_bills_nothing_twice(first):
    namespace = f"tenant-{first.tenant}"
    for words in (("tenant", first.name), ("crm", "crm", "-n", namespace)):
        kubectl("patch", *words, "--subresource=status", "--type=json", "-p", '[{"op":"remove","path":"/status"}]')
    wait("the instance is Ready again", lambda: instance(first.crm)["status"]["phase"] == "Ready", 120)
    assert session(first.crm, first.host).party(first.party)["name"] == "First Customer Ltd."
    assert kinds(first.id) == ["installed"], kinds(first.id)


def test_a_tenants_namespace_cannot_be_deleted_past_the_operator(first):
    refused = kubectl("delete", "namespace", f"tenant-{first.tenant}", "--wait=false", ok=False)
    assert refused.returncode != 0 and "tenant" in refused.stderr, refused


def test_deleting_a_tenant_archives_it_and_its_data_stays(first):
    database = instance(first.crm)["status"]["database"]["name"]
    first.database = database
    first.access = secret(f"tenant-{first.tenant}", f"{first.id}-database-g1")
    kubectl("delete", "tenant", first.name, "--timeout=120s")
    archives = {a["spec"]["kind"]: a for a in get("archives")["items"] if a["spec"]["tenantId"] == first.tenant}
    assert set(archives) == {"Tenant", "CrmInstance"}, archives.keys()
    assert archives["CrmInstance"]["spec"]["databases"][0]["name"] == database
    assert query(database, "SELECT name FROM party_party WHERE id = %d" % first.party).stdout.strip() == "First Customer Ltd."
    locked = query(database, "SELECT 1", first.access["username"], first.access["password"])
    assert locked.returncode != 0, "the role of an archive can log in"
    assert kinds(first.tenant)[-1] == "archived" and kinds(first.id)[-1] == "archived"
    assert fetch(first.host)[0] in (404, 503)


@after(test_deleting_a_tenant_archives_it_and_its_data_stays)
def test_a_new_tenant_with_the_old_name_never_touches_the_old_data(first):
    tenantry("tenant", "create", first.name, "--blueprint", "tryton", "--plan", "fibo-1", "--host", first.host,
             "--wait", "--timeout", "5m")
    new = instance(first.crm)
    assert new["spec"]["id"] != first.id and new["status"]["database"]["name"] != first.database
    tenantry("tenant", "archive", first.name, "--confirm", first.name)
    # Two archives of one name: neither is guessed.
    for words in (("adopt", first.name), ("purge", first.name, "--confirm", first.name, "--before-retention")):
        unsure = tenantry("tenant", *words, ok=False)
        assert unsure.returncode == 4, unsure
        assert all(f"tenantry tenant {words[0]} {i}-1" in unsure.stderr for i in (first.tenant, new["metadata"]["namespace"].removeprefix("tenant-"))), unsure
    assert query(first.database, "SELECT count(*) FROM sale_opportunity").stdout.strip() == "1"


@after(test_deleting_a_tenant_archives_it_and_its_data_stays)
def test_adopting_the_archive_brings_the_data_back(first):
    archive = next(a for a in get("archives")["items"] if a["spec"]["kind"] == "Tenant" and a["spec"]["id"] == first.tenant)
    tenantry("tenant", "adopt", archive["metadata"]["name"], "--wait", "--timeout", "5m")
    back = instance(first.crm)
    assert back["spec"]["id"] == first.id and back["status"]["database"]["name"] == first.database
    crm = session(first.crm, first.host)
    assert crm.opportunity(first.opportunity)["description"] == "500 chairs"
    assert kinds(first.tenant)[-1] == "adopted" and kinds(first.id)[-1] == "adopted"


@after(test_adopting_the_archive_brings_the_data_back)
def test_purging_needs_the_name_and_destroys_only_what_it_names(first, second):
    refused = tenantry("tenant", "purge", second.name, "--confirm", second.name, ok=False)
    assert refused.returncode != 0, "a living tenant was purged"
    tenantry("tenant", "archive", second.name, "--confirm", second.name)
    archive = next(a for a in get("archives")["items"] if a["spec"]["kind"] == "CrmInstance" and a["spec"]["tenantName"] == second.name)
    database = archive["spec"]["databases"][0]["name"]
    refused = tenantry("tenant", "purge", second.name, "--confirm", second.name + "a", "--before-retention", ok=False)
    assert refused.returncode != 0
    early = tenantry("tenant", "purge", second.name, "--confirm", second.name, ok=False)
    assert early.returncode == 4 and archive["metadata"]["name"] in early.stderr, early
    assert "--before-retention" in early.stderr.splitlines()[-1], early
    tenantry("tenant", "purge", second.name, "--confirm", second.name, "--before-retention", timeout=300)
    left = query("postgres", "SELECT datname FROM pg_database").stdout.split()
    assert database not in left and first.database in left, left
    assert kubectl("get", "namespace", archive["spec"]["namespace"], ok=False).returncode != 0
    assert kinds(archive["spec"]["id"])[-1] == "purged"
    assert session(first.crm, first.host).party(first.party)["name"] == "First Customer Ltd."


def test_a_product_that_exists_only_as_yaml_is_provisioned(operator):
    omega = unique("omega")
    kubectl("apply", "--server-side", "-f", str(HERE / "unseen-product.yaml"))
    tenantry("tenant", "create", omega, "--blueprint", "guestbook", "--plan", "fibo-1", "--host", f"{omega}.example",
             "--wait", "--timeout", "4m")
    assert fetch(f"{omega}.example", "/healthz")[0] == 200
