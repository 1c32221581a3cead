"""From `tenant create` to a log-in at Request Tracker on MariaDB, beside a bare script. Does I/O."""

import base64
import json
import os
import sys
import time
import urllib.error
import urllib.request

from api import SYSTEM, kubectl
from create import ADDRESS, PATIENCE, Bare, take_turns, through_tenantry, until_ready
from install import warm
from report import detail, median, row

SERVER = "dbs-maria-1-0"
IMAGE = "tenantry.local/request-tracker:5.0"
FOLDERS = "/etc/request-tracker5 /usr/share/request-tracker5 /usr/share/perl* /usr/lib"
# What Tenantry gives a tenant's role.
RIGHTS = ("SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES, "
          "EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE")


def log_in(names, password, begin):
    """Asks over REST until somebody is let in; the seconds since `begin`. Both ways are asked in this way."""
    basic = "Basic " + base64.b64encode(f"root:{password}".encode()).decode()
    request = urllib.request.Request(f"{ADDRESS}/REST/2.0/rt", headers={"Host": names["host"], "Authorization": basic})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert json.load(answer)["Version"].startswith("5.0."), "no Request Tracker"
            return time.monotonic() - begin
        except (OSError, ValueError) as error:
            if time.monotonic() - begin > PATIENCE:
                raise AssertionError(f"no log-in at {names['host']}: {error}") from error
            time.sleep(0.05)


def mariadb(sql):
    return kubectl("-n", SYSTEM, "exec", "-i", SERVER, "--", "mariadb", "-N", "-B", stdin=sql)


def setup_job(deployment, keys):
    """The product's own installer in a pod like the server's, with the administrator's password in a file."""
    spec = json.loads(json.dumps(deployment["spec"]["template"]["spec"]))
    container = spec["containers"][0]
    for part in ("ports", "livenessProbe", "readinessProbe", "startupProbe"):
        container.pop(part, None)
    container["name"] = "setup"
    container["command"] = ["rt-setup-database-5", "--action", "init", "--skip-create", "--root-password-file", "/mnt/admin-password"]
    container["volumeMounts"].append({"name": "keys", "mountPath": "/mnt", "readOnly": True})
    spec["volumes"].append({"name": "keys", "secret": {"secretName": keys, "defaultMode": 0o440}})
    spec["restartPolicy"] = "Never"
    return {"apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "setup", "namespace": deployment["metadata"]["namespace"]},
            "spec": {"backoffLimit": 0, "template": {"spec": spec}}}


class BareDesk(Bare):
    """The bare way, which runs the product's installer for each desk."""

    script = "bare-desk"
    log_in = staticmethod(log_in)

    def look(self, database):
        pass

    def more_files(self, folder, role, late):
        deployment = next(item for item in late if item["kind"] == "Deployment")
        keys = role.removeprefix("crm_").removesuffix("_g1") + "-keys-g1"
        with open(os.path.join(folder, "setup.json"), "w", encoding="utf-8") as file:
            json.dump(setup_job(deployment, keys), file)
        with open(os.path.join(folder, "space"), "w", encoding="utf-8") as file:
            file.write(deployment["metadata"]["namespace"])
        with open(os.path.join(folder, "database.sql"), "w", encoding="utf-8") as file:
            pattern = role.replace("_", "\\_")
            file.write(f"CREATE DATABASE {role} CHARACTER SET utf8mb4;\n"
                       f"CREATE USER {role} IDENTIFIED BY '{self.access['password']}' WITH MAX_USER_CONNECTIONS 50;\n"
                       f"GRANT {RIGHTS} ON `{pattern}`.* TO {role};\n")

    def drop(self, database):
        mariadb(f"DROP DATABASE {database}; DROP USER {database};")


def run(world, times):
    """The figure `desk`."""
    warm(world, IMAGE, FOLDERS)
    world.calm()
    product = {"blueprint": "request-tracker", "log_in": log_in}
    words = ("--wait", "--timeout", "30m")
    names, first, phases = through_tenantry(world.api, "desk-first", *words, **product)
    print(f"    tenantry, the first {first:.2f} s  {phases.end()}", file=sys.stderr, flush=True)
    until_ready(world.api, names)
    bare = BareDesk(world, names)
    found, when = take_turns(world, bare, times, "desk", *words, **product)
    t, b = median(found["tenantry"]), median(found["bare"])
    row("desk", "command to log-in, the first", "s", first, b, f"s bare script, median of {times}", first / b)
    row("desk", f"from the template, median of {times}", "s", t, b, "s bare script", t / b)
    detail("desk", first=first, first_phases=phases.end(), seconds=found, phases=when,
           objects=[f"{i['kind']} {i['metadata']['name']}" for i in bare.pattern.items])
