"""Tenantry comes into a cluster: by one command, and with a definition missing. Does I/O."""

import copy
import json

from harness import apply, check, get, kubectl, tenantry, wait
from mailserver import host
from world import ROOT, SYSTEM

OPERATOR = ("-n", SYSTEM, "-l", "app.kubernetes.io/name=tenantry,app.kubernetes.io/component=operator")


def install(*more):
    # The test cluster's DNS, API server and the mail servers of these checks answer on its one node.
    node = f"{host()}/32"
    tenantry(
        "install", "--charts", str(ROOT / "charts"),
        "--set", "image.tag=dev", "--set", "agentImage.tag=dev", "--set", "site.name=e2e",
        "--set", f"site.dnsCidrs={{{node}}}", "--set", f"site.ingressCidrs={{{node}}}", "--set", f"networkPolicy.extraEgress[0].to[0].ipBlock.cidr={node}",
        "--set", "site.ingress.className=tenantry", "--set", "site.ingress.port=8092",
        "--set", "databaseServers.pg-shared-1.engine=postgresql",
        "--set", "databaseServers.pg-shared-1.managed.storage=10G", *more,
    )


@check
def the_charts_are_installed_by_one_command():
    install()
    wait("the database server is ready", lambda: get("dbs", "pg-shared-1")["status"]["phase"] == "Ready", 180)


@check
def an_operator_without_a_definition_says_which_and_works_once_it_is_there():
    definition = "archives.tenantry.dev"
    if get("archives")["items"]:
        print("        (left out: archives exist, whose definition cannot be taken away)")
        return
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
