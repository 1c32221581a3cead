"""The command line in the hands of people: what will change, logs, URLs, completion, exit codes. Does I/O."""

import json
from urllib.parse import urlsplit

from harness import ADDRESS, apply, get, kubectl, run, tenantry, wait
from marks import alone, own_cluster
from products import page
from world import fetch, instance, ready, tenant_with, unique

CHILDREN = "deployments,services,ingresses,secrets,configmaps,pvc,networkpolicies,resourcequotas,limitranges,rolebindings,cronjobs,poddisruptionbudgets"


def picture(namespace):
    """All objects of a tenant's namespace: what a person would compare."""
    seen = {}
    for item in get(CHILDREN, "-n", namespace)["items"]:
        content = {k: v for k, v in item.items() if k not in ("metadata", "status")}
        content["labels"] = item["metadata"].get("labels")
        notes = item["metadata"].get("annotations") or {}
        content["annotations"] = {k: v for k, v in notes.items() if "deployment.kubernetes.io" not in k}
        seen[item["kind"], item["metadata"]["name"]] = json.dumps(content, sort_keys=True)
    return seen


def happened(before, after):
    made = {("create", *key) for key in after.keys() - before.keys()}
    gone = {("remove", *key) for key in before.keys() - after.keys()}
    changed = {("change", *key) for key in before.keys() & after.keys() if before[key] != after[key]}
    return made | gone | changed


def promised(thing, *left_out):
    text = json.dumps(thing)
    document = json.loads(tenantry("diff", "-f", "-", "-o", "json", stdin=text).stdout)
    shown = tenantry("diff", "-f", "-", stdin=text).stdout
    acts = {(c["action"], c["kind"], c["name"]) for c in document["changes"] if c["action"] != "keep"}
    for _, kind, name in acts:
        assert kind in shown and name in shown, shown
    return {a for a in acts if a[1] not in left_out}, shown


def as_written(thing):
    return {"apiVersion": thing["apiVersion"], "kind": thing["kind"], "spec": thing["spec"],
            "metadata": {k: thing["metadata"][k] for k in ("name", "namespace", "labels") if k in thing["metadata"]}}


def test_diff_shows_what_will_change_and_exactly_that_happens(operator, site):
    name = unique("planned")
    apply(page(name))
    tenant_with(name, name, "--setting", "title=good morning")
    now = instance(f"{name}/crm")
    namespace = now["metadata"]["namespace"]
    same, shown = promised(as_written(now))
    assert not same, shown
    wanted = as_written(now)
    wanted["spec"]["settings"] = {"title": "good evening"}
    wanted["spec"]["host"] = f"evening-{name}.example"
    before = picture(namespace)
    will, shown = promised(wanted)
    assert ("change", "CrmInstance", "crm") in will and "good evening" in shown, shown
    assert picture(namespace) == before, "looking changed something"
    apply(wanted)
    ready(f"{name}/crm", 90)
    wait("the new text is served", lambda: "good evening" in fetch(f"evening-{name}.example")[1], 60)
    will.discard(("change", "CrmInstance", "crm"))
    wait("all that was promised has happened, and nothing else", lambda: happened(before, picture(namespace)) == will or _differ(
        before, picture(namespace), will), 60)

    tenant = as_written(get("tenant", name))
    tenant["spec"]["plan"] = "fibo-3"
    before = picture(namespace)
    will, shown = promised(tenant, "Tenant")
    apply(tenant)
    wait("the plan is in force", lambda: get("tenant", name)["status"]["limits"]["plan"] == "fibo-3", 60)
    ready(f"{name}/crm", 60)
    wait("all that was promised has happened, and nothing else", lambda: happened(before, picture(namespace)) == will or _differ(
        before, picture(namespace), will), 60)


def _differ(before, after, will):
    did = happened(before, after)
    raise AssertionError(f"promised and not done: {will - did}; done and not promised: {did - will}")


def test_logs_and_url_of_an_instance_are_there_for_people_and_programs(acme):
    lines = tenantry("instance", "logs", "acme/crm", "--tail", "5", "--process", "web").stdout.splitlines()
    assert 0 < len(lines) <= 5, lines
    wrong = tenantry("instance", "logs", "acme/crm", "--process", "nope", ok=False)
    assert wrong.returncode == 3 and "web" in wrong.stderr, wrong
    url = instance("acme/crm")["status"]["url"]
    assert tenantry("instance", "open", "acme/crm").stdout.strip() == url == ADDRESS.replace(urlsplit(ADDRESS).hostname, "crm.acme.example")
    assert json.loads(tenantry("instance", "open", "acme/crm", "-o", "json").stdout) == {"url": url}


def test_completion_in_bash_knows_commands_and_the_names_of_the_cluster(acme):
    script = """
        source <(tenantry completion bash)
        complete -p tenantry > /dev/null || exit 1
        function=$(complete -p tenantry | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_TYPE=9; COMPREPLY=(); "$function" tenantry "${*: -1}" x; echo "${COMPREPLY[*]}"; }
        try tenantry tenant arch
        try tenantry tenant show acm
        try tenantry instance open acme/
    """
    answer = run("bash", "-c", script).stdout.splitlines()
    assert [line.split()[0] if line.split() else "" for line in answer] == ["archive", "acme", "acme/crm"], answer


def test_version_names_program_operator_and_cluster(operator):
    seen = json.loads(tenantry("version", "-o", "json").stdout)
    known = json.loads(kubectl("version", "-o", "json").stdout)
    assert seen["cluster"]["operatorImage"] == "tenantry.local/operator:dev" and seen["cluster"]["kubernetes"] == known["serverVersion"]["gitVersion"], seen
    assert seen["client"] in tenantry("version").stdout
    away = json.loads(tenantry("version", "-o", "json", "--kubeconfig", "/nonexistent").stdout)
    assert away["cluster"] is None and away["error"], away


def test_a_program_can_tell_from_the_exit_code_what_happened(operator):
    name = unique("patient")
    apply(page(name))
    late = tenantry("tenant", "create", name, "--blueprint", name, "--plan", "fibo-1", "--host", f"{name}.example",
                    "--wait", "--timeout", "1s", ok=False)
    assert late.returncode == 5 and "tenantry " in late.stderr, late
    assert tenantry("instance", "show", f"{name}/crm", "--wait", "--timeout", "2m").returncode == 0
    ready(f"{name}/crm", 60)
    for code, words in ((2, ["tenant", "create"]), (2, ["tenant", "show", name, "--all"]), (2, ["nonsense"]),
                        (2, ["tenant", "suspend", "--all"]), (2, ["tenant", "suspend", "--all", "--confirm", name]),
                        (2, ["instance", "set", "--all", "--admin-email", "all@example.org"]),
                        (2, ["archive", "purge", "--all"]), (2, ["tenant", "purge", "-l", "a=b"]),
                        (3, ["tenant", "show", "nobody"]), (3, ["instance", "open", f"{name}/nothing"]),
                        (4, ["tenant", "purge", name, "--confirm", name]),
                        (1, ["tenant", "list", "--kubeconfig", "/nonexistent"]),
                        (0, ["tenant", "show", name])):
        answer = tenantry(*words, ok=False)
        assert answer.returncode == code, (words, answer)
        assert code == 0 or answer.stderr.startswith("error: "), (words, answer.stderr)
        assert code == 0 or not answer.stdout, (words, answer.stdout)
    unsure = tenantry("tenant", "archive", name, ok=False)
    assert unsure.returncode in (2, 4) and "--confirm" in unsure.stderr, unsure
    assert kubectl("get", "tenant", name).returncode == 0


def test_every_output_is_one_json_document(acme):
    for words in (["tenant", "list"], ["tenant", "show", "acme"], ["instance", "list"], ["plan", "list"],
                  ["blueprint", "list"], ["database-server", "list"], ["archive", "list"], ["billing", "pending"]):
        json.loads(tenantry(*words, "-o", "json").stdout)


@alone("looks at everything, of which others may have broken a part")
def test_doctor_finds_nothing_to_mend(acme):
    report = tenantry("doctor", ok=False)
    assert report.returncode in (0, 4), report.stdout + report.stderr
    assert "FAIL" not in report.stdout, report.stdout


@own_cluster("nothing measures its pods")
def test_top_shows_who_asks_for_most_and_says_that_nothing_is_measured_here(acme):
    answer = tenantry("top", "instances", "--sort", "memory", "-o", "json")
    assert "metrics.k8s.io" in answer.stderr, answer.stderr
    items = json.loads(answer.stdout)["items"]
    asked = [i["requested"]["memoryBytes"] for i in items]
    assert asked[0] > 0 and asked == sorted(asked, reverse=True), asked
    assert all(i["used"] is None for i in items) and items[0]["pods"] > 0, items[0]
    shown = tenantry("top", "servers").stdout
    assert "pg-shared-1" in shown and "unknown" in shown, shown
    assert len(tenantry("top", "--limit", "1", "-o", "name").stdout.split()) == 1
