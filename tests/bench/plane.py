"""Figures on a cluster without a node: fleet, databases, idle. Installs the charts, runs the operator. Does I/O."""

import os
import subprocess
import sys
from pathlib import Path

from api import APPLY, STATE, TENANTRY, Api, kubeconfig
from controller import Controller

ROOT = Path(__file__).resolve().parents[2]


def setting(name, default):
    return int(os.environ.get(f"TENANTRY_BENCH_{name}", default))


class World:
    """A cluster with the charts and a running operator."""

    def __init__(self):
        self.state = STATE
        # What is to be ended at the very end.
        self.after = []
        self.api = Api()
        # No node: the chart's own pod waits for ever, and the operator is a process here.
        subprocess.run(
            ["tenantry", "install", "--charts", str(ROOT / "charts"), "--no-wait", "--set", "site.name=bench",
             "--set", "site.ingress.className=tenantry"],
            check=True, stdout=sys.stderr, env={**os.environ, "KUBECONFIG": kubeconfig()})
        self.controller = Controller(self.api)

    def blueprint(self, name, spec):
        """Makes a blueprint, or takes the one that is there."""
        body = {"apiVersion": "tenantry.dev/v1alpha1", "kind": "Blueprint", "metadata": {"name": name}, "spec": spec}
        self.api.ask("PATCH", f"{TENANTRY}/blueprints/{name}?fieldManager=bench", body, APPLY)

    def count(self, plural):
        return len(self.api.get(f"{TENANTRY}/{plural}")["items"])


def main():
    figures = sys.argv[1:]
    world = World()
    count = setting("TENANTS", 300)
    try:
        if "fleet" in figures:
            import fleet

            fleet.run(world, count, setting("RELEASES", 20))
        elif "idle" in figures:
            import fleet

            fleet.warm_up(world)
            fleet.make_fleet(world, count)
        if "databases" in figures:
            import databases

            databases.run(world, setting("DATABASES", 20))
        if "idle" in figures:
            import idle

            idle.run(world, setting("IDLE_SECONDS", 600))
    except BaseException:
        print(world.controller.tail(), file=sys.stderr)
        raise
    finally:
        world.controller.stop()
        for end in world.after:
            end()


if __name__ == "__main__":
    main()
