"""What a customer brings: a mail server as settings of a Tryton, its password by Secret, and whether it answers. Does I/O."""

import json
import time

from harness import check, get, kubectl, tenantry, wait
from mailserver import Hanging, Mail, Opened, free_port, host
from world import instance, ready, says, tenant_with, there, unique, untouched

STATE = {}
PASSWORD, OTHER = "hunter 22/+", "another one"


def crm():
    """The instance of these checks, made by the first that needs it."""
    if "name" not in STATE:
        name = unique("mail")
        tenant_with(name, "tryton")
        STATE["name"] = f"{name}/crm"
        now = instance(STATE["name"])
        STATE["namespace"], STATE["id"] = now["metadata"]["namespace"], now["spec"]["id"]
        STATE["secret"] = f"{STATE['id']}-settings"
    return STATE["name"]


def settings(*words, **options):
    return tenantry("instance", "settings", *words, **options)


def revision():
    """How often the web process was rolled out."""
    found = get("deployment", f"{STATE['id']}-web", "-n", STATE["namespace"])
    return int(found["metadata"]["annotations"]["deployment.kubernetes.io/revision"])


def configuration():
    return kubectl("-n", STATE["namespace"], "exec", f"deploy/{STATE['id']}-web", "--", "cat", "/etc/tryton/trytond.conf").stdout


def mail():
    """What is known of the mail server."""
    found = [i for i in instance(crm())["status"].get("integrations", []) if i["name"] == "mail"]
    return found[0] if found else {}


def mail_is(state, words="", seconds=60):
    return wait(f"the mail server is {state}", lambda: (lambda m: m if m.get("state") == state and words in m["message"] else None)(mail()), seconds)


@check
def a_secret_on_a_command_line_is_refused_with_the_way_to_do_it():
    answer = settings("set", crm(), f"smtp_password={PASSWORD}", ok=False)
    assert answer.returncode == 4 and "--from-stdin smtp_password" in answer.stderr, answer
    assert PASSWORD not in answer.stdout + answer.stderr and not there("secret", STATE["secret"], "-n", STATE["namespace"])
    answer = settings("set", crm(), "smpt_host=x", ok=False)
    assert answer.returncode == 3 and "smtp_host" in answer.stderr, answer


@check
def a_password_by_secret_reaches_the_application_in_one_rollout_and_nothing_else():
    name, before = crm(), None
    before = revision()
    settings("set", name, "smtp_host=mx.acme.example", "smtp_security=none", "smtp_port=2525", "smtp_user=crm",
             "--from-stdin", "smtp_password", "--wait", "--timeout", "3m", stdin=PASSWORD + "\n")
    ready(name)
    assert "uri = smtp://crm:hunter%2022%2F%2B@mx.acme.example:2525" in configuration(), configuration()
    assert revision() == before + 1, (before, revision())
    labels = get("secret", STATE["secret"], "-n", STATE["namespace"])["metadata"]["labels"]
    assert labels["tenantry.dev/instance-id"] == STATE["id"] and labels["tenantry.dev/purpose"] == "settings", labels
    told = json.dumps(instance(name)) + "".join(
        tenantry(*words).stdout for words in (
            ("instance", "show", name), ("instance", "show", name, "-o", "json"), ("instance", "settings", name),
            ("instance", "settings", name, "-o", "yaml"), ("instance", "list", "-o", "json")))
    assert "hunter" not in told and STATE["secret"] in told, told


@check
def a_changed_secret_is_one_more_rollout():
    name, before = crm(), revision()
    settings("set", name, "--from-stdin", "smtp_password", "--wait", "--timeout", "3m", stdin=OTHER)
    ready(name)
    assert "crm:another%20one@" in configuration(), configuration()
    time.sleep(5)
    assert revision() == before + 1, (before, revision())
    # The same value once more changes nothing that runs.
    pods = untouched(name)
    settings("set", name, "--from-stdin", "smtp_password", "--wait", "--timeout", "3m", stdin=OTHER)
    ready(name)
    assert revision() == before + 1 and untouched(name) == pods


@check
def a_missing_secret_is_named_while_the_crm_goes_on_and_is_mended_by_the_command_that_is_told():
    name = crm()
    pods = untouched(name)[name][2]
    kubectl("-n", STATE["namespace"], "delete", "secret", STATE["secret"])
    look = {"spec": {"settingsFrom": {"smtp_password": {"revision": "look"}}}}
    kubectl("-n", STATE["namespace"], "patch", "crm", "crm", "--type=merge", "-p", json.dumps(look))
    said = says(name, "SpecValid", "SecretMissing")
    assert STATE["secret"] in said and "smtp_password" in said, said
    assert f"tenantry instance settings set {name} --from-stdin smtp_password" in said, said
    assert untouched(name)[name][2] == pods, "a pod was disturbed"
    settings("set", name, "--from-stdin", "smtp_password", "--wait", "--timeout", "3m", stdin=OTHER)
    ready(name)
    assert untouched(name)[name][2] == pods, "the same password is no reason to start anew"


@check
def tenantrys_own_secrets_are_no_source_of_settings():
    name = crm()
    keys = f"{STATE['id']}-keys-g1"
    patch = {"spec": {"settings": {"smtp_user": None}, "settingsFrom": {"smtp_user": {"secret": keys, "key": "admin-password"}}}}
    kubectl("-n", STATE["namespace"], "patch", "crm", "crm", "--type=merge", "-p", json.dumps(patch))
    said = says(name, "SpecValid", "SecretRefused")
    assert keys in said, said
    settings("set", name, "smtp_user=crm", "--wait", "--timeout", "3m")
    ready(name)


@check
def inside_addresses_are_not_asked_unless_the_site_opens_them():
    name = crm()
    settings("set", name, f"smtp_host={host()}", f"smtp_port={free_port()}", "--wait", "--timeout", "3m")
    mail_is("unreachable", "tenants cannot reach")
    ready(name)


@check
def a_mail_server_that_hangs_is_unreachable_and_the_crm_stays_ready():
    name = crm()
    with Opened(), Hanging() as server:
        settings("set", name, f"smtp_host={host()}", f"smtp_port={server.port}", "--wait", "--timeout", "3m")
        found = mail_is("unreachable", "within 10 s")
        assert server.asked, "it was never asked"
        assert instance(name)["status"]["phase"] == "Ready"
        answer = settings("check", name, ok=False)
        assert answer.returncode == 1 and "unreachable" in answer.stdout, answer
        shown = tenantry("instance", "show", name).stdout
        assert "mail unreachable" in shown, shown
        # Nothing is written again for the same finding.
        version = instance(name)["metadata"]["resourceVersion"]
        time.sleep(5)
        assert instance(name)["metadata"]["resourceVersion"] == version and mail() == found


@check
def a_mail_server_that_answers_is_said_to_and_no_mail_is_sent_by_the_check():
    name = crm()
    with Opened(), Mail() as server:
        settings("set", name, f"smtp_host={host()}", f"smtp_port={server.port}", "--wait", "--timeout", "3m")
        found = mail_is("answers")
        # The connection is not encrypted: the password stays here.
        assert "was not tried" in found["message"], found
        assert settings("check", name).returncode == 0
        settings("set", name, "smtp_security=starttls", "--wait", "--timeout", "3m")
        mail_is("refused", "STARTTLS")
        assert server.messages() == []
        settings("unset", name, "smtp_host", "smtp_port", "smtp_security", "smtp_user", "smtp_password", "--wait", "--timeout", "3m")
        mail_is("notChecked", "not set")
    assert "uri = smtp://127.0.0.1:9" in configuration()
    spec = instance(name)["spec"]
    assert "smtp_password" not in json.dumps(spec), spec
    data = get("secret", STATE["secret"], "-n", STATE["namespace"]).get("data") or {}
    assert "smtp_password" not in data, list(data)


@check
def a_mail_server_that_is_back_is_said_at_once_to_whoever_asks_and_no_setting_is_touched():
    name, port = crm(), free_port()
    with Opened():
        settings("set", name, f"smtp_host={host()}", f"smtp_port={port}", "smtp_security=none", "--wait", "--timeout", "3m")
        mail_is("unreachable", f"{host()}:{port}")
        before = instance(name)
        pods = untouched(name)
        answer = settings("check", name, "--again", "--wait", "--timeout", "1m", ok=False)
        assert answer.returncode == 1 and "unreachable" in answer.stdout, answer
        with Mail(port) as server:
            assert settings("check", name, ok=False).returncode == 1, "without --again it is what was seen last"
            begun = time.monotonic()
            answer = settings("check", name, "--again", "--wait", "--timeout", "1m", "-o", "json")
            took = time.monotonic() - begun
            told = json.loads(answer.stdout)
            [found] = [i for i in told["integrations"] if i["name"] == "mail"]
            assert answer.returncode == 0 and found["state"] == "answers", told
            assert found["checkedFor"] == told["asked"] and took < 15, (told, took)
            assert server.messages() == []
            # Once: nothing more is written for it.
            version = instance(name)["metadata"]["resourceVersion"]
            time.sleep(5)
            now = instance(name)
            assert now["metadata"]["resourceVersion"] == version
            assert now["spec"] == before["spec"] and now["metadata"]["generation"] == before["metadata"]["generation"]
            assert untouched(name) == pods, "a pod was disturbed"
            answer = settings("check", name, "--again")
            assert "asked to check again" in answer.stdout, answer
        # What nobody can read as a time is no request.
        asked = mail()["checkedFor"]
        kubectl("-n", STATE["namespace"], "annotate", "--overwrite", "crm", "crm", "tenantry.dev/check-integrations=soon")
        answer = settings("check", name, "--wait", ok=False)
        assert answer.returncode == 2 and "--again" in answer.stderr, answer
        time.sleep(2)
        assert mail()["checkedFor"] >= asked and "soon" not in json.dumps(instance(name)["status"])
        settings("unset", name, "smtp_host", "smtp_port", "smtp_security", "--wait", "--timeout", "3m")
