"""Tenantry from its charts: installed as a person does it, for the cluster of these checks. Does I/O."""

import os
import shlex
from urllib.parse import urlsplit

from harness import ADDRESS, OWN, get, tenantry
from mailserver import host
from world import ROOT, SYSTEM, server_is, there

OPERATOR = ("-n", SYSTEM, "-l", "app.kubernetes.io/name=tenantry,app.kubernetes.io/component=operator")


def of_this_cluster():
    """Values that differ by cluster."""
    if not OWN:
        return shlex.split(os.environ.get("TENANTRY_E2E_INSTALL", ""))
    # The test cluster's DNS, API server and the mail servers of these checks answer on its one node.
    node = f"{host()}/32"
    return ["--set", f"site.dnsCidrs={{{node}}}", "--set", f"site.ingressCidrs={{{node}}}",
            "--set", f"networkPolicy.extraEgress[0].to[0].ipBlock.cidr={node}"]


def install(*more):
    tenantry(
        "install", "--charts", str(ROOT / "charts"),
        "--set", "image.tag=dev", "--set", "agentImage.tag=dev", "--set", "site.name=e2e", *of_this_cluster(),
        "--set", f"site.ingress.className={os.environ.get('TENANTRY_INGRESS_CLASS', 'tenantry')}",
        "--set", f"site.ingress.port={urlsplit(ADDRESS).port or 80}",
        "--set", "databaseServers.pg-shared-1.engine=postgresql",
        "--set", "databaseServers.pg-shared-1.managed.storage=10G", *more,
    )


def installed():
    """Installs it unless it is there; on a cluster that was kept it is."""
    if not there("deployment", "tenantry-operator", "-n", SYSTEM) or not there("dbs", "pg-shared-1"):
        install()
    server_is("pg-shared-1", "Ready", 180)


def operators():
    return {p["metadata"]["name"] for p in get("pods", *OPERATOR)["items"] if "deletionTimestamp" not in p["metadata"]}


def leader():
    """The pod that holds the Lease and lives."""
    holder = get("lease", "tenantry-operator", "-n", SYSTEM)["spec"].get("holderIdentity")
    return holder if holder in operators() else None
