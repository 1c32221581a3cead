"""Copies for staging: with the data of a running CRM, and unable to write to its customers. Does I/O.

Request Tracker's copy is in test_request_tracker.py. The mail server is a real one, on this machine, where pods reach it
by the address of their node.
"""

import os
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace

import pytest
from chart import leader
from harness import OWN, apply, get, kubectl, tenantry, wait
from mailserver import Mail, Opened, host
from marks import after, alone, own_cluster
from products import page
from tryton import RpcError
from world import SYSTEM, access, archives_of, condition, events, fetch, instance, kinds, query, ready, says, session, tenant_with, unique


def by_mail(server, name):
    """The words that make a CRM send its mail to a server of these tests."""
    settings = {"smtp_host": host(), "smtp_port": server.port, "smtp_security": "none", "smtp_from": f"crm@{name}.example"}
    return [word for key, value in settings.items() for word in ("--setting", f"{key}={value}")]


def reset_password(crm, colleague):
    """Makes Tryton write to somebody: a colleague asks for a new password."""
    try:
        crm.call("model.res.user.reset_password", [colleague], {})
    except (RpcError, OSError) as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def original(operator):
    """The tenant of this story: a Tryton that writes to a mail server, with a customer and a colleague in it."""
    name = unique("stage")
    # Pods reach a mail server on this machine only where it is their node.
    with Mail() if OWN else nullcontext() as server:
        tenant_with(name, "tryton", *(by_mail(server, name) if OWN else []))
        crm = session(f"{name}/crm", f"{name}.example")
        colleague = {"name": "Colleague", "login": "colleague", "email": f"colleague@{name}.example"}
        yield SimpleNamespace(name=name, crm=f"{name}/crm", host=f"{name}.example", mail=server,
                              party=crm.make_party("Customer Of Both"), colleague=crm.call("model.res.user.create", [colleague], {})[0])


@pytest.fixture(scope="module")
def copy(original):
    """Its copy for staging: what the command said, and the instance."""
    name = original.name
    made = tenantry("instance", "create", "staging", "--tenant", name, "--from", "crm", "--expires", "7d", "--wait", "--timeout", "10m")
    return SimpleNamespace(name=f"{name}/staging", host=f"staging-{name}.example", made=made, now=ready(f"{name}/staging", 30))


def test_a_copy_has_the_data_of_the_running_crm_and_its_own_password(original, copy):
    now = copy.now
    assert "neutralised" in copy.made.stdout + copy.made.stderr and now["spec"]["environment"] == "staging", copy.made
    assert now["spec"]["host"] == copy.host, now["spec"]
    there = session(copy.name, copy.host)
    assert there.party(original.party)["name"] == "Customer Of Both"
    passwords = [tenantry("instance", "password", i).stdout.strip() for i in (original.crm, copy.name)]
    assert passwords[0] != passwords[1]
    assert access(original.crm)["password"] != access(copy.name)["password"]
    assert condition(now, "Copied")["status"] == condition(now, "Neutralised")["status"] == "True", now["status"]
    # What is done in the copy is not done in the original.
    other = there.make_party("Only In The Copy")
    assert query(access(original.crm)["database"], f"SELECT count(*) FROM party_party WHERE id = {other}").stdout.strip() == "0"
    shown = tenantry("instance", "show", copy.name).stdout
    assert original.crm in shown and "Copy of" in shown and "Ends" in shown, shown


@own_cluster("a mail server where pods reach it")
def test_the_copy_writes_to_nobody_and_its_original_does(original, copy, site):
    name, server = original.name, original.mail
    active = [query(access(f"{name}/{i}")["database"], "SELECT count(*) FROM ir_cron WHERE active").stdout.strip() for i in ("crm", "staging")]
    assert int(active[0]) > 0 and active[1] == "0", active
    there, crm = session(copy.name, copy.host), session(original.crm, original.host)
    # First the copy, while the Site is closed and after it was opened; then the original. Whoever writes does so before the
    # call returns, so that what the copy wrote would be there before the original's.
    reset_password(there, original.colleague)
    with Opened(instance(f"{name}/crm")["metadata"]["namespace"]):
        reset_password(there, original.colleague)
        refused = reset_password(crm, original.colleague)
        mails = wait("the original's mail arrives", server.messages, 30)
    assert f"crm@{name}.example" in mails[0] and f"colleague@{name}.example" in mails[0] and len(mails) == 1, (mails, refused)
    # What holds where rules for the network are enforced: only production is led outside.
    namespace, own = instance(f"{name}/staging")["metadata"]["namespace"], instance(f"{name}/staging")["spec"]["id"]
    outside = get("networkpolicy", "tenantry-outside", "-n", namespace)["spec"]
    chosen = outside["podSelector"]["matchLabels"]
    assert chosen == {"tenantry.dev/environment": "production"}, outside
    for pod in get("pods", "-n", namespace)["items"]:
        labels = pod["metadata"]["labels"]
        expected = "staging" if labels["tenantry.dev/instance-id"] == own else "production"
        assert labels["tenantry.dev/environment"] == expected, labels
    assert get("networkpolicy", own, "-n", namespace)["spec"]["policyTypes"] == ["Egress"]


def test_a_copy_is_never_billed_as_seats(copy):
    own = instance(copy.name)["spec"]["id"]
    assert kinds(own) == ["installed"] and events(own)[0]["after"]["installed"]["environment"] == "staging", events(own)


@alone("kills the operator")
def test_a_copy_goes_on_when_the_operator_is_killed_again_and_again(original):
    name = original.name
    tenantry("instance", "create", f"{name}/second", "--from", f"{name}/crm")

    says(f"{name}/second", "Copied", "Copying", 60)
    killed = set()
    for _ in range(3):
        # Each as soon as it leads: it has the copy as the one before left it, and no time to bring it to its end.
        living = wait("another operator leads", lambda: (lambda pod: pod and pod not in killed and pod)(leader()), 60)
        kubectl("-n", SYSTEM, "delete", "pod", living, "--grace-period=0", "--force")
        killed.add(living)
    now = ready(f"{name}/second", 300)
    active = query(access(f"{name}/second")["database"], "SELECT count(*) FROM ir_cron WHERE active").stdout.strip()
    assert active == "0", "it runs and was not neutralised"
    assert session(f"{name}/second", now["spec"]["host"]).party(original.party)["name"] == "Customer Of Both"
    assert session(f"{name}/crm", f"{name}.example").party(original.party)["name"] == "Customer Of Both"
    assert kinds(now["spec"]["id"]) == ["installed"]


@after(test_a_copy_goes_on_when_the_operator_is_killed_again_and_again)
def test_a_copy_whose_time_is_over_is_archived_and_the_original_stays(original):
    name = original.name
    now = instance(f"{name}/second")
    namespace = now["metadata"]["namespace"]
    soon = (datetime.now(timezone.utc) + timedelta(seconds=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    kubectl("patch", "crm", "second", "-n", namespace, "--type=merge", "-p", f'{{"spec":{{"expires":"{soon}"}}}}')
    wait("the copy is gone", lambda: kubectl("get", "crm", "second", "-n", namespace, ok=False).returncode != 0, 120)
    kept = [a for a in archives_of(namespace.removeprefix("tenant-")) if a["spec"]["name"] == "second"]
    assert len(kept) == 1 and kept[0]["spec"]["databases"], kept
    assert kinds(now["spec"]["id"]) == ["installed", "archived"]
    wait("its rule for the network is gone", lambda: kubectl("get", "networkpolicy", now["spec"]["id"], "-n", namespace, ok=False).returncode != 0, 60)
    assert session(f"{name}/crm", f"{name}.example").party(original.party)


@own_cluster("the folder of a volume is on this machine")
def test_files_are_copied_with_the_instance_and_the_originals_stay(operator):
    name = unique("files")
    spec = {"volumes": [{"name": "files", "mountPath": "/files", "percentOfStorage": 20}]}
    apply(page(name, **spec))
    tenant_with(name, name)
    own = instance(f"{name}/crm")
    namespace = own["metadata"]["namespace"]

    def folder(of):
        claim = get("pvc", f"{of['spec']['id']}-files-g1", "-n", namespace)
        return Path(get("pv", claim["spec"]["volumeName"])["spec"]["hostPath"]["path"])
    (folder(own) / "letters").mkdir()
    letter = folder(own) / "letters" / "one.txt"
    letter.write_text("to a customer")
    os.chown(letter.parent, 10001, 10001)
    os.chown(letter, 10001, 10001)
    os.utime(letter, (1_000_000_000, 1_000_000_000))
    (folder(own) / "link").symlink_to("letters/one.txt")

    tenantry("instance", "create", f"{name}/staging", "--from", "crm")
    said = says(f"{name}/staging", "Neutralised", "NotStated", 60)
    assert "nothing was copied" in said, said
    assert not [d for d in get("deployments", "-n", namespace)["items"] if d["metadata"]["labels"]["tenantry.dev/instance"] == "staging"]
    # What is written into the blueprint later is taken up by itself.
    apply(page(name, **spec, neutralise={"steps": [{"name": "nothing", "command": ["/tenantry-agent", "--version"]}]}))
    copy = ready(f"{name}/staging", 240)
    there = folder(copy)
    assert (there / "letters" / "one.txt").read_text() == "to a customer"
    assert (there / "letters" / "one.txt").stat().st_mtime == 1_000_000_000
    assert os.readlink(there / "link") == "letters/one.txt"
    assert letter.read_text() == "to a customer" and there != folder(own)
    assert fetch(copy["spec"]["host"], "/healthz")[0] == 200


def test_an_original_that_is_archived_during_the_copy_is_told_and_nothing_starts(operator):
    name = unique("gone")
    quiet = {"neutralise": {"steps": [{"name": "nothing", "command": ["/tenantry-agent", "--version"]}]}}
    apply(page(name, volumes=[{"name": "files", "mountPath": "/files", "percentOfStorage": 20}], **quiet))
    tenant_with(name, name)
    namespace = instance(f"{name}/crm")["metadata"]["namespace"]
    # Its copy waits for room that never comes, so that the original goes while it is under way.
    limit = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-more-pods", "namespace": namespace},
             "spec": {"hard": {"pods": "1"}}}
    apply(limit)
    tenantry("instance", "create", f"{name}/staging", "--from", "crm")
    says(f"{name}/staging", "Copied", "Copying", 60)
    tenantry("instance", "archive", f"{name}/crm", "--confirm", f"{name}/crm")
    said = says(f"{name}/staging", "Copied", "SourceGone", 120)
    assert "instance adopt" in said, said
    kubectl("delete", "resourcequota", "no-more-pods", "-n", namespace)
    found = get("deployments", "-n", namespace)["items"]
    assert not [d for d in found if d["metadata"]["labels"]["tenantry.dev/instance"] == "staging"], found
    # Given up: what was never finished is archived like anything else, and nothing is left for the doctor to find.
    tenantry("instance", "archive", f"{name}/staging", "--confirm", f"{name}/staging")
    wait("the copy is gone", lambda: kubectl("get", "crm", "staging", "-n", namespace, ok=False).returncode != 0, 120)
