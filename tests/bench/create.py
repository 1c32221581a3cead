"""From `tenant create` to a log-in in a warm cluster, beside a bare script with the same objects. Does I/O."""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from api import PATHS, TENANTRY, WORK, Refused, kubectl
from fleet import make_pattern, names_of
from phases import Phases
from report import detail, median, row

# After this folder: it has a staging.py too.
sys.path.insert(1, str(Path(__file__).resolve().parent.parent / "e2e"))
from tryton import RpcError, Tryton  # noqa: E402

ADDRESS = os.environ.get("TENANTRY_BENCH_ADDRESS", "")
HERE = Path(__file__).resolve().parent
PATIENCE = 1800


def tenantry(*words):
    done = subprocess.run(["tenantry", *words], text=True, capture_output=True)
    assert done.returncode == 0, f"tenantry {' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def log_in(names, password, begin):
    """Tries to log in until it succeeds; the seconds since `begin`. Both ways are asked in this way."""
    crm = Tryton(ADDRESS, names["host"], f"crm_{names['instance_id']}_g1")
    while True:
        try:
            crm.log_in("admin", password)
            return time.monotonic() - begin
        except (RpcError, OSError, ValueError) as error:
            if time.monotonic() - begin > PATIENCE:
                raise AssertionError(f"no log-in at {names['host']}: {error}") from error
            time.sleep(0.05)


def secret(api, space, name):
    """Texts of a Secret, as soon as it is there."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            data = api.get(PATHS["Secret"].format(ns=space) + "/" + name)["data"]
            return {key: base64.b64decode(text).decode() for key, text in data.items()}
        except Refused as error:
            if error.code != 404 or time.monotonic() > end:
                raise
            time.sleep(0.05)


def through_tenantry(api, name, *more, blueprint="tryton", log_in=log_in):
    """Creates a tenant as a person does. Returns its names, the seconds to the log-in, and when what happened."""
    phases = Phases(api, name)
    host = f"{name}.bench.example"
    phases.start()
    tenantry("tenant", "create", name, "--blueprint", blueprint, "--plan", "fibo-2", "--host", host, *more)
    phases.note("command returns", round(time.monotonic() - phases.begin, 2))
    tenant_id = api.get(f"{TENANTRY}/tenants/{name}")["spec"]["id"]
    instance_id = api.get(f"{TENANTRY}/namespaces/tenant-{tenant_id}/crminstances/crm")["spec"]["id"]
    password = secret(api, f"tenant-{tenant_id}", f"{instance_id}-keys-g1")["admin-password"]
    names = {"tenant_id": tenant_id, "instance_id": instance_id, "tenant_name": name, "host": host}
    seconds = log_in(names, password, phases.begin)
    phases.note("log-in", round(seconds, 2))
    return names, seconds, phases


def until_ready(api, names):
    """Waits for what the operator does after the log-in became possible."""
    path = f"{TENANTRY}/namespaces/tenant-{names['tenant_id']}/crminstances/crm"
    end = time.monotonic() + PATIENCE
    while api.get(path).get("status", {}).get("phase") != "Ready":
        assert time.monotonic() < end, f"{names['tenant_name']} does not become Ready"
        time.sleep(0.1)


class Bare:
    """The bare way: objects of a tenant that Tenantry made, with other names, and SQL for its database."""

    script = "bare-create"
    log_in = staticmethod(log_in)

    def __init__(self, world, names):
        self.world, self.pattern = world, make_pattern(world.api, names)
        space = f"tenant-{names['tenant_id']}"
        self.access = secret(world.api, space, f"{names['instance_id']}-database-g1")
        self.password = secret(world.api, space, f"{names['instance_id']}-keys-g1")["admin-password"]
        self.look(f"crm_{names['instance_id']}_g1")

    def look(self, database):
        """What the product needs beside objects."""
        self.template = self.world.psql("SELECT datname FROM pg_database WHERE datname LIKE 'tpl\\_%' AND datistemplate")
        # The hash of the same password: making it is not the script's matter.
        self.hash = self.world.psql("SELECT password_hash FROM res_user WHERE login = 'admin'", database)

    def files(self, names):
        """What the script works with. Made before the clock starts."""
        folder = os.path.join(WORK, names["tenant_name"])
        os.mkdir(folder)
        items = self.pattern.filled(**names)
        late = [item for item in items if item["kind"] in ("Deployment", "CronJob")]
        parts = {"objects.json": [item for item in items if item not in late], "process.json": late}
        for name, part in parts.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
                json.dump({"apiVersion": "v1", "kind": "List", "items": part}, file)
        self.more_files(folder, f"crm_{names['instance_id']}_g1", late)
        return folder

    def more_files(self, folder, role, _late):
        """What makes the database; its role has the same name."""
        with open(os.path.join(folder, "database.sql"), "w", encoding="utf-8") as file:
            file.write(
                f"CREATE ROLE {role} LOGIN PASSWORD '{self.access['password']}' CONNECTION LIMIT 50;\n"
                f"CREATE DATABASE {role} TEMPLATE {self.template};\n"
                f"REVOKE ALL ON DATABASE {role} FROM PUBLIC; GRANT CONNECT, TEMPORARY ON DATABASE {role} TO {role};\n"
                f"\\connect {role}\n"
                f"GRANT CREATE, USAGE ON SCHEMA public TO {role}; REASSIGN OWNED BY {self.template} TO {role};\n"
                f"UPDATE res_user SET password_hash = '{self.hash}' WHERE id = 1 AND login = 'admin';\n")

    def run(self, name):
        names = names_of(name)
        folder = self.files(names)
        phases = Phases(self.world.api, name)
        phases.start()
        done = subprocess.run([str(HERE / self.script), folder], text=True, capture_output=True)
        assert done.returncode == 0, f"{self.script}\n{done.stdout}\n{done.stderr}"
        phases.note("command returns", round(time.monotonic() - phases.begin, 2))
        seconds = self.log_in(names, self.password, phases.begin)
        phases.note("log-in", round(seconds, 2))
        return names, seconds, phases

    def remove(self, names):
        kubectl("delete", "namespace", f"tenant-{names['tenant_id']}", "--timeout=120s")
        self.drop(f"crm_{names['instance_id']}_g1")

    def drop(self, database):
        self.world.psql(f"DROP DATABASE {database} WITH (FORCE)")


def take_turns(world, bare, times, word, *more, **product):
    """Both ways in turn, each tenant removed before the next. Returns the seconds of each way, and when what happened."""
    found = {"tenantry": [], "bare": []}
    when = {"tenantry": [], "bare": []}
    for number in range(times):
        for way in ("tenantry", "bare") if number % 2 == 0 else ("bare", "tenantry"):
            world.calm()
            if way == "tenantry":
                made, seconds, phases = through_tenantry(world.api, f"{word}-t{number}", *more, **product)
                until_ready(world.api, made)
                time.sleep(0.5)
            else:
                made, seconds, phases = bare.run(f"{word}-b{number}")
            found[way].append(seconds)
            when[way].append(phases.end())
            print(f"    {way} {seconds:.2f} s  {when[way][-1]}", file=sys.stderr, flush=True)
            if way == "tenantry":
                tenantry("tenant", "archive", made["tenant_name"], "--confirm", made["tenant_name"])
            else:
                bare.remove(made)
    return found, when


def run(world, names, times):
    """The figure `create`. `names` are of a tenant that is Ready."""
    bare = Bare(world, names)
    found, when = take_turns(world, bare, times, "create")
    t, b = median(found["tenantry"]), median(found["bare"])
    row("create", f"command to log-in, median of {times}", "s", t, b, "s bare script", t / b, "<= 1.25")
    detail("create", seconds=found, phases=when, objects=[f"{i['kind']} {i['metadata']['name']}" for i in bare.pattern.items])
