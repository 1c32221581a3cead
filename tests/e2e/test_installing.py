"""Tenantry comes into a cluster: by one command, and with a definition missing. Does I/O."""

import copy
import json

import pytest
from chart import OPERATOR, install
from harness import apply, get, kubectl, wait
from marks import alone, first
from world import SYSTEM, server_is

# A definition can be taken away only as long as nobody has made an archive.
pytestmark = [first, alone("takes a definition away, and the operator with it")]


def test_the_charts_are_installed_by_one_command(operator):
    # The fixture did it. Once more: it may find an older one on a cluster that was kept.
    install()
    server_is("pg-shared-1", "Ready", 180)


def test_an_operator_without_a_definition_says_which_and_works_once_it_is_there(operator):
    definition = "archives.tenantry.dev"
    if get("archives")["items"]:
        pytest.skip("archives exist, whose definition cannot be taken away")
    kept = get("crd", definition)
    again = {"apiVersion": kept["apiVersion"], "kind": kept["kind"], "spec": kept["spec"], "metadata": {
        "name": definition, "labels": kept["metadata"]["labels"], "annotations": kept["metadata"]["annotations"]}}
    refused = kubectl("delete", "crd", definition, ok=False)
    assert refused.returncode and "tenantry.dev/confirm-deletion" in refused.stderr, refused
    kubectl("annotate", "crd", definition, f"tenantry.dev/confirm-deletion={definition}")
    kubectl("delete", "crd", definition)
    try:
        kubectl("delete", "pod", *OPERATOR)
        def waits():
            pod, = [p for p in get("pods", *OPERATOR)["items"] if "deletionTimestamp" not in p["metadata"]]
            state, = [c["status"] for c in pod["status"]["conditions"] if c["type"] == "Ready"]
            lines = kubectl("-n", SYSTEM, "logs", pod["metadata"]["name"]).stdout.splitlines()
            said = [json.loads(line) for line in lines if "waiting for the definition" in line]
            return said and state == "False" and said
        said = wait("the operator is not ready and says why", waits, 60)
        assert said[0]["kind"] == "Archive" and "tenantry-crds" in said[0]["message"], said[0]
    finally:
        apply(copy.deepcopy(again))
    wait("the operator is ready", lambda: kubectl(
        "-n", SYSTEM, "rollout", "status", "deployment/tenantry-operator", "--timeout=1s", ok=False).returncode == 0, 60)
    assert get("dbs", "pg-shared-1")["status"]["phase"] == "Ready"
