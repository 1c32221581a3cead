"""Figures on a cluster with a node and real products: install, create, staging, desk. Does I/O."""

import os
import subprocess
import sys
import time
from pathlib import Path

import create
import desk
import install
import staging
from api import SYSTEM, TENANTRY, Api, kubeconfig, kubectl

ROOT = Path(__file__).resolve().parents[2]
SERVER = "dbs-pg-shared-1-0"


def setting(name, default):
    return int(os.environ.get(f"TENANTRY_BENCH_{name}", default))


class World:
    """A cluster with the charts, the operator in a pod, and a managed PostgreSQL; for a desk MariaDB too."""

    def __init__(self, with_mariadb):
        self.api = Api()
        os.environ["KUBECONFIG"] = kubeconfig()
        os.environ["TENANTRY_BENCH_SERVER"] = SERVER
        port = os.environ["TENANTRY_BENCH_ADDRESS"].rpartition(":")[2]
        settings = ["image.tag=bench", "agentImage.tag=bench", "site.name=bench", "site.ingress.className=tenantry",
                    f"site.ingress.port={port}", "databaseServers.pg-shared-1.engine=postgresql",
                    "databaseServers.pg-shared-1.managed.storage=10G"]
        servers = ["pg-shared-1"]
        if with_mariadb:
            servers.append("maria-1")
            settings += ["databaseServers.maria-1.engine=mariadb", "databaseServers.maria-1.managed.storage=5G"]
        words = [word for setting in settings for word in ("--set", setting)]
        subprocess.run(["tenantry", "install", "--charts", str(ROOT / "charts"), *words], check=True, stdout=sys.stderr)
        if with_mariadb:
            kubectl("apply", "--server-side", "-f", str(ROOT / "manifests/blueprints/request-tracker.yaml"))
        for server in servers:
            install.until(f"database server {server} is ready", lambda: self.phase(server) == "Ready", 180)

    def phase(self, server):
        return self.api.get(f"{TENANTRY}/databaseservers/{server}").get("status", {}).get("phase")

    def psql(self, sql, database="postgres"):
        """Asks the managed server, in its pod."""
        return kubectl("-n", SYSTEM, "exec", "-i", SERVER, "--", "psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", database,
                       "-f", "-", stdin=sql).strip()

    def calm(self):
        """Until no pod of an earlier turn is left and the processors have had a rest."""
        def gone():
            pods = self.api.get("/api/v1/pods")["items"]
            return not [p for p in pods if "deletionTimestamp" in p["metadata"]]

        install.until("the pods of the last turn are gone", gone, 120)
        time.sleep(3)


def main():
    figures = sys.argv[1:]
    world = World("desk" in figures)
    try:
        if {"install", "create"} & set(figures):
            names = install.run(world, "install" in figures)
        if "create" in figures:
            create.run(world, names, setting("TIMES", 5))
        if "staging" in figures:
            staging.run(world, setting("STAGING_MIB", 1024), setting("STAGING_TIMES", 3))
        if "desk" in figures:
            desk.run(world, setting("TIMES", 5))
    except BaseException:
        print(kubectl("-n", SYSTEM, "logs", "deploy/tenantry-operator", "--tail=40", ok=False)[-4000:], file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
