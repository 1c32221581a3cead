"""The main flow: tenants of a real CRM from their first day to the purge of their data. Does I/O."""

import json

from harness import check, get, kubectl, tenantry, wait
from world import HERE, events, fetch, instance, kinds, query, rush, secret, serving, session

STATE = {}


@check
def an_unknown_plan_or_blueprint_is_refused_before_anything_is_made():
    wrong = tenantry("tenant", "create", "nope", "--blueprint", "tryton", "--plan", "fibo-9", "--host", "a.example", ok=False)
    assert wrong.returncode == 3 and "fibo-9" in wrong.stderr and "fibo-2" in wrong.stderr, wrong
    wrong = tenantry("tenant", "create", "nope", "--blueprint", "sap", "--plan", "fibo-2", "--host", "a.example", ok=False)
    assert wrong.returncode == 3 and "sap" in wrong.stderr, wrong
    assert kubectl("get", "tenant", "nope", ok=False).returncode != 0


@check
def the_first_tenant_gets_a_crm_that_it_can_log_in_to():
    tenantry("tenant", "create", "acme", "--blueprint", "tryton", "--plan", "fibo-2", "--host", "crm.acme.example",
             "--wait", "--timeout", "15m")
    crm = session("acme/crm", "crm.acme.example")
    assert crm.version().startswith("7.0")
    STATE["party"] = crm.make_party("First Customer Ltd.")
    STATE["opportunity"] = crm.make_opportunity("500 chairs", STATE["party"])
    assert crm.opportunity(STATE["opportunity"])["description"] == "500 chairs"
    STATE["id"] = instance("acme/crm")["spec"]["id"]
    STATE["tenant"] = get("tenant", "acme")["spec"]["id"]
    assert kinds(STATE["id"]) == ["installed"], kinds(STATE["id"])
    assert events(STATE["id"])[0]["after"]["limits"]["seats"] == 7


@check
def the_second_tenant_comes_from_the_template_and_has_its_own_password():
    tenantry("tenant", "create", "beta", "--blueprint", "tryton", "--plan", "fibo-1", "--host", "crm.beta.example",
             "--wait", "--timeout", "5m")
    crm = session("beta/crm", "crm.beta.example")
    crm.make_party("Someone Else")
    acme, beta = (tenantry("instance", "password", f"{t}/crm").stdout.strip() for t in ("acme", "beta"))
    assert acme != beta
    builds = get("jobs", "-n", "tenantry-system")["items"]
    assert len([j for j in builds if j["metadata"]["name"].startswith("template-")]) == 1


@check
def an_early_release_is_installed_while_the_others_go_on():
    # Takes minutes: what it is worth is seen in engines.py.
    tenantry("tenant", "create", "octo", "--blueprint", "tryton", "--release", "8.0", "--plan", "fibo-1",
             "--host", "crm.octo.example")
    assert instance("octo/crm")["spec"]["release"] == "8.0"


@check
def pods_of_tenants_run_restricted_and_hold_no_token():
    namespace = f"tenant-{STATE['tenant']}"
    labels = get("namespace", namespace)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted", labels
    for pod in get("pods", "-n", namespace)["items"]:
        assert pod["spec"]["automountServiceAccountToken"] is False
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            text = json.dumps(container.get("env", []))
            assert '"value"' not in text, "an environment value stands in the pod instead of its Secret"


@check
def everybody_of_many_who_log_in_at_once_comes_in_and_no_pod_ends():
    rush("acme/crm", "crm.acme.example")


@check
def a_neighbours_role_can_reach_nothing():
    beta = instance("beta/crm")
    access = secret(beta["metadata"]["namespace"], f"{beta['spec']['id']}-database-g1")
    mine = instance("acme/crm")["status"]["database"]["name"]
    user, password = access["username"], access["password"]
    own = query(access["database"], "SELECT count(*) FROM party_party", user, password)
    assert own.returncode == 0, own.stderr
    for database in (mine, "tenantry_registry", "postgres", "template1"):
        other = query(database, "SELECT 1", user, password)
        assert other.returncode != 0 and "permission denied" in other.stderr, (database, other)
    drop = query(access["database"], f'DROP DATABASE "{mine}"', user, password)
    assert drop.returncode != 0 and "must be owner" in drop.stderr, drop


@check
def a_host_that_is_taken_is_refused_with_its_owner_and_disturbs_nobody():
    tenantry("tenant", "create", "gamma", "--blueprint", "tryton", "--plan", "fibo-1", "--host", "crm.acme.example")
    wait("the instance says that the host is taken", lambda: any(
        c["reason"] == "HostTaken" and "acme/crm" in c["message"]
        for c in instance("gamma/crm")["status"]["conditions"]), 60)
    assert session("acme/crm", "crm.acme.example").party(STATE["party"])["name"] == "First Customer Ltd."
    tenantry("tenant", "archive", "gamma", "--confirm", "gamma")
    assert session("acme/crm", "crm.acme.example").party(STATE["party"])


@check
def children_that_are_deleted_or_edited_by_hand_come_back():
    namespace, name = f"tenant-{STATE['tenant']}", STATE["id"]
    kubectl("-n", namespace, "delete", "service", name)
    wait("the Service is back", lambda: kubectl("-n", namespace, "get", "service", name, ok=False).returncode == 0, 60)
    kubectl("-n", namespace, "scale", f"deployment/{name}-web", "--replicas=0")
    wait("the process is back", lambda: get("deployment", f"{name}-web", "-n", namespace)["spec"]["replicas"] == 1, 60)
    kubectl("-n", namespace, "delete", "ingress", name)
    wait("it answers again", lambda: fetch("crm.acme.example")[0] == 200, 90)


@check
def suspending_puts_a_page_up_and_resuming_brings_the_same_crm_back():
    tenantry("tenant", "suspend", "acme", "--reason", "the invoice of May", "--wait", "--timeout", "3m")
    # Nothing is waited for after either: the command has.
    status, body = fetch("crm.acme.example")
    assert status == 503 and "the invoice of May" in body, (status, body[:500])
    left = [d for d in get("deployments", "-n", f"tenant-{STATE['tenant']}")["items"]
            if not d["metadata"]["name"].endswith("-page") and (d["spec"]["replicas"] or d["status"].get("replicas"))]
    assert not left, left
    resumed = tenantry("tenant", "resume", "acme", "--wait", "--timeout", "5m")
    assert fetch("crm.acme.example")[0] == 200
    assert "through the ingress" in resumed.stderr, resumed.stderr
    crm = session("acme/crm", "crm.acme.example")
    assert crm.opportunity(STATE["opportunity"])["description"] == "500 chairs"
    assert kinds(STATE["tenant"]) == ["suspended", "resumed"], kinds(STATE["tenant"])


@check
def a_changed_plan_is_an_event_and_restarts_nothing():
    namespace = f"tenant-{STATE['tenant']}"
    before = {p["metadata"]["uid"] for p in serving(namespace)}
    assert before
    tenantry("tenant", "set", "acme", "--plan", "fibo-3")
    wait("the change is recorded", lambda: kinds(STATE["tenant"])[-1] == "limits-changed")
    assert events(STATE["tenant"])[-1]["after"]["limits"]["seats"] == 10
    assert before == {p["metadata"]["uid"] for p in serving(namespace)}, "a pod was started anew"


@check
def losing_every_status_loses_no_database_and_bills_nothing_twice():
    namespace = f"tenant-{STATE['tenant']}"
    for words in (("tenant", "acme"), ("crm", "crm", "-n", namespace)):
        kubectl("patch", *words, "--subresource=status", "--type=json", "-p", '[{"op":"remove","path":"/status"}]')
    wait("the instance is Ready again", lambda: instance("acme/crm")["status"]["phase"] == "Ready", 120)
    assert session("acme/crm", "crm.acme.example").party(STATE["party"])["name"] == "First Customer Ltd."
    assert kinds(STATE["id"]) == ["installed"], kinds(STATE["id"])


@check
def the_operator_can_be_killed_in_the_middle_of_an_install():
    tenantry("tenant", "create", "delta", "--blueprint", "tryton", "--plan", "fibo-1", "--host", "crm.delta.example")
    kubectl("-n", "tenantry-system", "delete", "pod", "-l", "app.kubernetes.io/name=tenantry", "--grace-period=0", "--force")
    wait("delta is Ready", lambda: instance("delta/crm")["status"]["phase"] == "Ready", 180)
    session("delta/crm", "crm.delta.example")
    assert kinds(instance("delta/crm")["spec"]["id"]) == ["installed"]


@check
def a_tenants_namespace_cannot_be_deleted_past_the_operator():
    refused = kubectl("delete", "namespace", f"tenant-{STATE['tenant']}", "--wait=false", ok=False)
    assert refused.returncode != 0 and "tenant" in refused.stderr, refused


@check
def deleting_a_tenant_archives_it_and_its_data_stays():
    database = instance("acme/crm")["status"]["database"]["name"]
    STATE["database"] = database
    STATE["access"] = secret(f"tenant-{STATE['tenant']}", f"{STATE['id']}-database-g1")
    kubectl("delete", "tenant", "acme", "--timeout=120s")
    archives = {a["spec"]["kind"]: a for a in get("archives")["items"] if a["spec"]["tenantId"] == STATE["tenant"]}
    assert set(archives) == {"Tenant", "CrmInstance"}, archives.keys()
    assert archives["CrmInstance"]["spec"]["databases"][0]["name"] == database
    assert query(database, "SELECT name FROM party_party WHERE id = %d" % STATE["party"]).stdout.strip() == "First Customer Ltd."
    locked = query(database, "SELECT 1", STATE["access"]["username"], STATE["access"]["password"])
    assert locked.returncode != 0, "the role of an archive can log in"
    assert kinds(STATE["tenant"])[-1] == "archived" and kinds(STATE["id"])[-1] == "archived"
    assert fetch("crm.acme.example")[0] in (404, 503)


@check
def a_new_tenant_with_the_old_name_never_touches_the_old_data():
    tenantry("tenant", "create", "acme", "--blueprint", "tryton", "--plan", "fibo-1", "--host", "crm.acme.example",
             "--wait", "--timeout", "5m")
    new = instance("acme/crm")
    assert new["spec"]["id"] != STATE["id"] and new["status"]["database"]["name"] != STATE["database"]
    tenantry("tenant", "archive", "acme", "--confirm", "acme")
    newer = [a for a in get("archives")["items"] if a["spec"]["tenantId"] == new["metadata"]["namespace"].removeprefix("tenant-")]
    STATE["newer"] = sorted(a["metadata"]["name"] for a in newer)
    # Two archives of one name: neither is guessed.
    for words in (("adopt", "acme"), ("purge", "acme", "--confirm", "acme", "--before-retention")):
        unsure = tenantry("tenant", *words, ok=False)
        assert unsure.returncode == 4, unsure
        assert all(f"tenantry tenant {words[0]} {i}-1" in unsure.stderr for i in (STATE["tenant"], new["metadata"]["namespace"].removeprefix("tenant-"))), unsure
    assert query(STATE["database"], "SELECT count(*) FROM sale_opportunity").stdout.strip() == "1"


@check
def adopting_the_archive_brings_the_data_back():
    archive = next(a for a in get("archives")["items"] if a["spec"]["kind"] == "Tenant" and a["spec"]["id"] == STATE["tenant"])
    tenantry("tenant", "adopt", archive["metadata"]["name"], "--wait", "--timeout", "5m")
    back = instance("acme/crm")
    assert back["spec"]["id"] == STATE["id"] and back["status"]["database"]["name"] == STATE["database"]
    crm = session("acme/crm", "crm.acme.example")
    assert crm.opportunity(STATE["opportunity"])["description"] == "500 chairs"
    assert kinds(STATE["tenant"])[-1] == "adopted" and kinds(STATE["id"])[-1] == "adopted"


@check
def purging_needs_the_name_and_destroys_only_what_it_names():
    refused = tenantry("tenant", "purge", "beta", "--confirm", "beta", ok=False)
    assert refused.returncode != 0, "a living tenant was purged"
    tenantry("tenant", "archive", "beta", "--confirm", "beta")
    archive = next(a for a in get("archives")["items"] if a["spec"]["kind"] == "CrmInstance" and a["spec"]["tenantName"] == "beta")
    database = archive["spec"]["databases"][0]["name"]
    refused = tenantry("tenant", "purge", "beta", "--confirm", "betta", "--before-retention", ok=False)
    assert refused.returncode != 0
    early = tenantry("tenant", "purge", "beta", "--confirm", "beta", ok=False)
    assert early.returncode == 4 and archive["metadata"]["name"] in early.stderr, early
    assert "--before-retention" in early.stderr.splitlines()[-1], early
    tenantry("tenant", "purge", "beta", "--confirm", "beta", "--before-retention", timeout=300)
    left = query("postgres", "SELECT datname FROM pg_database").stdout.split()
    assert database not in left and STATE["database"] in left, left
    assert kubectl("get", "namespace", archive["spec"]["namespace"], ok=False).returncode != 0
    assert kinds(archive["spec"]["id"])[-1] == "purged"
    assert session("acme/crm", "crm.acme.example").party(STATE["party"])["name"] == "First Customer Ltd."


@check
def a_product_that_exists_only_as_yaml_is_provisioned():
    kubectl("apply", "--server-side", "-f", str(HERE / "unseen-product.yaml"))
    tenantry("tenant", "create", "omega", "--blueprint", "guestbook", "--plan", "fibo-1", "--host", "omega.example",
             "--wait", "--timeout", "4m")
    assert fetch("omega.example", "/healthz")[0] == 200
