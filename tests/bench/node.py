"""Figures on a cluster with a node and a real Tryton: install, create. Does I/O."""

import os
import subprocess
import sys
import time
from pathlib import Path

import create
import install
from api import SYSTEM, TENANTRY, Api, kubeconfig, kubectl

ROOT = Path(__file__).resolve().parents[2]
SERVER = "dbs-pg-shared-1-0"


class World:
    """A cluster with the charts, the operator in a pod, and a managed PostgreSQL."""

    def __init__(self):
        self.api = Api()
        os.environ["KUBECONFIG"] = kubeconfig()
        os.environ["TENANTRY_BENCH_SERVER"] = SERVER
        port = os.environ["TENANTRY_BENCH_ADDRESS"].rpartition(":")[2]
        settings = ["image.tag=bench", "agentImage.tag=bench", "site.name=bench", "site.ingress.className=tenantry",
                    f"site.ingress.port={port}", "databaseServers.pg-shared-1.engine=postgresql",
                    "databaseServers.pg-shared-1.managed.storage=10G"]
        words = [word for setting in settings for word in ("--set", setting)]
        subprocess.run(["tenantry", "install", "--charts", str(ROOT / "charts"), *words], check=True, stdout=sys.stderr)
        path = f"{TENANTRY}/databaseservers/pg-shared-1"
        install.until("the database server is ready", lambda: self.api.get(path).get("status", {}).get("phase") == "Ready", 180)

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
    world = World()
    try:
        names = install.run(world, "install" in figures)
        if "create" in figures:
            create.run(world, names, int(os.environ.get("TENANTRY_BENCH_TIMES", 5)))
    except BaseException:
        print(kubectl("-n", SYSTEM, "logs", "deploy/tenantry-operator", "--tail=40", ok=False)[-4000:], file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
