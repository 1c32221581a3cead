"""What a customer brings: a mail server as settings of a Tryton, its password by Secret, and whether it answers. Does I/O."""

import json
import time

import pytest
from harness import get, kubectl, stays, tenantry, wait
from mailserver import Hanging, Mail, Opened, free_port, host
from marks import after, own_cluster
from world import instance, ready, says, tenant_with, there, unique, untouched

PASSWORD, OTHER = "hunter 22/+", "another one"


@pytest.fixture(scope="module")
def crm(operator):
    """The instance of these checks: its name, its namespace, its id and the Secret of its settings."""
    name = unique("mail")
    tenant_with(name, "tryton")
    now = instance(f"{name}/crm")
    return Crm(f"{name}/crm", now["metadata"]["namespace"], now["spec"]["id"])


class Crm:
    def __init__(self, name, namespace, own):
        self.name, self.namespace, self.id, self.secret = name, namespace, own, f"{own}-settings"

    def revision(self):
        """How often the web process was rolled out."""
        found = get("deployment", f"{self.id}-web", "-n", self.namespace)
        return int(found["metadata"]["annotations"]["deployment.kubernetes.io/revision"])

    def configuration(self):
        return kubectl("-n", self.namespace, "exec", f"deploy/{self.id}-web", "--", "cat", "/etc/tryton/trytond.conf").stdout

    def mail(self):
        """What is known of the mail server."""
        found = [i for i in instance(self.name)["status"].get("integrations", []) if i["name"] == "mail"]
        return found[0] if found else {}

    def mail_is(self, state, words="", seconds=60):
        def seen():
            mail = self.mail()
            return mail if mail.get("state") == state and words in mail["message"] else None
        return wait(f"the mail server is {state}", seen, seconds)

    def patch(self, spec):
        kubectl("-n", self.namespace, "patch", "crm", "crm", "--type=merge", "-p", json.dumps({"spec": spec}))

    def password(self):
        """Gives it a password by Secret, and a mail server that is not there."""
        tenantry("instance", "settings", "set", self.name, "smtp_host=mx.acme.example", "smtp_security=none", "smtp_port=2525", "smtp_user=crm",
                 "--from-stdin", "smtp_password", "--wait", "--timeout", "3m", stdin=PASSWORD + "\n")
        ready(self.name)


def settings(*words, **options):
    return tenantry("instance", "settings", *words, **options)


def test_a_secret_on_a_command_line_is_refused_with_the_way_to_do_it(crm):
    answer = settings("set", crm.name, f"smtp_password={PASSWORD}", ok=False)
    assert answer.returncode == 4 and "--from-stdin smtp_password" in answer.stderr, answer
    assert PASSWORD not in answer.stdout + answer.stderr and not there("secret", crm.secret, "-n", crm.namespace)
    answer = settings("set", crm.name, "smpt_host=x", ok=False)
    assert answer.returncode == 3 and "smtp_host" in answer.stderr, answer


def test_a_password_by_secret_reaches_the_application_in_one_rollout_and_nothing_else(crm):
    name, before = crm.name, crm.revision()
    crm.password()
    assert "uri = smtp://crm:hunter%2022%2F%2B@mx.acme.example:2525" in crm.configuration(), crm.configuration()
    assert crm.revision() == before + 1, (before, crm.revision())
    labels = get("secret", crm.secret, "-n", crm.namespace)["metadata"]["labels"]
    assert labels["tenantry.dev/instance-id"] == crm.id and labels["tenantry.dev/purpose"] == "settings", labels
    told = json.dumps(instance(name)) + "".join(
        tenantry(*words).stdout for words in (
            ("instance", "show", name), ("instance", "show", name, "-o", "json"), ("instance", "settings", name),
            ("instance", "settings", name, "-o", "yaml"), ("instance", "list", "-o", "json")))
    assert "hunter" not in told and crm.secret in told, told


@after(test_a_password_by_secret_reaches_the_application_in_one_rollout_and_nothing_else)
def test_a_changed_secret_is_one_more_rollout(crm):
    name, before = crm.name, crm.revision()
    settings("set", name, "--from-stdin", "smtp_password", "--wait", "--timeout", "3m", stdin=OTHER)
    ready(name)
    assert "crm:another%20one@" in crm.configuration(), crm.configuration()
    stays("it is one rollout", lambda: crm.revision() == before + 1)
    # The same value once more changes nothing that runs.
    pods = untouched(name)
    settings("set", name, "--from-stdin", "smtp_password", "--wait", "--timeout", "3m", stdin=OTHER)
    ready(name)
    assert crm.revision() == before + 1 and untouched(name) == pods


@after(test_a_changed_secret_is_one_more_rollout)
def test_a_missing_secret_is_named_while_the_crm_goes_on_and_is_mended_by_the_command_that_is_told(crm):
    name = crm.name
    pods = untouched(name)[name][2]
    kubectl("-n", crm.namespace, "delete", "secret", crm.secret)
    crm.patch({"settingsFrom": {"smtp_password": {"revision": "look"}}})
    said = says(name, "SpecValid", "SecretMissing")
    assert crm.secret in said and "smtp_password" in said, said
    assert f"tenantry instance settings set {name} --from-stdin smtp_password" in said, said
    assert untouched(name)[name][2] == pods, "a pod was disturbed"
    settings("set", name, "--from-stdin", "smtp_password", "--wait", "--timeout", "3m", stdin=OTHER)
    ready(name)
    assert untouched(name)[name][2] == pods, "the same password is no reason to start anew"


@after(test_a_password_by_secret_reaches_the_application_in_one_rollout_and_nothing_else)
def test_tenantrys_own_secrets_are_no_source_of_settings(crm):
    name = crm.name
    keys = f"{crm.id}-keys-g1"
    crm.patch({"settings": {"smtp_user": None}, "settingsFrom": {"smtp_user": {"secret": keys, "key": "admin-password"}}})
    said = says(name, "SpecValid", "SecretRefused")
    assert keys in said, said
    settings("set", name, "smtp_user=crm", "--wait", "--timeout", "3m")
    ready(name)


@own_cluster("an address inside that answers")
def test_inside_addresses_are_not_asked_unless_the_site_opens_them(crm, site):
    name = crm.name
    settings("set", name, f"smtp_host={host()}", f"smtp_port={free_port()}", "--wait", "--timeout", "3m")
    crm.mail_is("unreachable", "tenants cannot reach")
    ready(name)


@own_cluster("a mail server where pods reach it")
def test_a_mail_server_that_hangs_is_unreachable_and_the_crm_stays_ready(crm, site):
    name = crm.name
    with Opened(), Hanging() as server:
        settings("set", name, f"smtp_host={host()}", f"smtp_port={server.port}", "--wait", "--timeout", "3m")
        found = crm.mail_is("unreachable", "within 10 s")
        assert server.asked, "it was never asked"
        assert instance(name)["status"]["phase"] == "Ready"
        answer = settings("check", name, ok=False)
        assert answer.returncode == 1 and "unreachable" in answer.stdout, answer
        shown = tenantry("instance", "show", name).stdout
        assert "mail unreachable" in shown, shown
        # Nothing is written again for the same finding.
        version = instance(name)["metadata"]["resourceVersion"]
        stays("nothing is written", lambda: instance(name)["metadata"]["resourceVersion"] == version and crm.mail() == found)


@after(test_a_password_by_secret_reaches_the_application_in_one_rollout_and_nothing_else)
@own_cluster("a mail server where pods reach it")
def test_a_mail_server_that_answers_is_said_to_and_no_mail_is_sent_by_the_check(crm, site):
    name = crm.name
    with Opened(), Mail() as server:
        settings("set", name, f"smtp_host={host()}", f"smtp_port={server.port}", "--wait", "--timeout", "3m")
        found = crm.mail_is("answers")
        # The connection is not encrypted: the password stays here.
        assert "was not tried" in found["message"], found
        assert settings("check", name).returncode == 0
        settings("set", name, "smtp_security=starttls", "--wait", "--timeout", "3m")
        crm.mail_is("refused", "STARTTLS")
        assert server.messages() == []
        settings("unset", name, "smtp_host", "smtp_port", "smtp_security", "smtp_user", "smtp_password", "--wait", "--timeout", "3m")
        crm.mail_is("notChecked", "not set")
    assert "uri = smtp://127.0.0.1:9" in crm.configuration()
    spec = instance(name)["spec"]
    assert "smtp_password" not in json.dumps(spec), spec
    data = get("secret", crm.secret, "-n", crm.namespace).get("data") or {}
    assert "smtp_password" not in data, list(data)


@own_cluster("a mail server where pods reach it")
def test_a_mail_server_that_is_back_is_said_at_once_to_whoever_asks_and_no_setting_is_touched(crm, site):
    name, port = crm.name, free_port()
    with Opened():
        settings("set", name, f"smtp_host={host()}", f"smtp_port={port}", "smtp_security=none", "--wait", "--timeout", "3m")
        crm.mail_is("unreachable", f"{host()}:{port}")
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
            stays("nothing is written", lambda: instance(name)["metadata"]["resourceVersion"] == version)
            now = instance(name)
            assert now["spec"] == before["spec"] and now["metadata"]["generation"] == before["metadata"]["generation"]
            assert untouched(name) == pods, "a pod was disturbed"
            answer = settings("check", name, "--again")
            assert "asked to check again" in answer.stdout, answer
        # What nobody can read as a time is no request.
        asked = crm.mail()["checkedFor"]
        kubectl("-n", crm.namespace, "annotate", "--overwrite", "crm", "crm", "tenantry.dev/check-integrations=soon")
        answer = settings("check", name, "--wait", ok=False)
        assert answer.returncode == 2 and "--again" in answer.stderr, answer
        stays("it is no request", lambda: crm.mail()["checkedFor"] >= asked and "soon" not in json.dumps(instance(name)["status"]), 2)
        settings("unset", name, "smtp_host", "smtp_port", "smtp_security", "--wait", "--timeout", "3m")
