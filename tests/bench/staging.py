"""A copy for staging of a CRM with much data, beside pg_dump into pg_restore and CREATE DATABASE TEMPLATE. Does I/O."""

import subprocess
import sys
import time

from create import HERE, tenantry, through_tenantry, until_ready
from phases import Phases
from report import detail, median, row

TENANT = "staging"
# A row of so many hashes of 64 bytes takes an eighth of a page, so that a MiB is 1024 rows.
HASHES = 15
ROWS = 1024
WAYS = ("tenantry", "dump", "template")


def fill(world, database, mib):
    """A table of the CRM's own role with rows that nothing makes smaller. Returns the bytes of the database."""
    data = " || ".join(f"sha512(convert_to(n || '.{part}', 'UTF8'))" for part in range(HASHES))
    world.psql(f"SET ROLE {database};\n"
               "CREATE TABLE bench_filler (id bigint PRIMARY KEY, data bytea NOT NULL);\n"
               f"INSERT INTO bench_filler SELECT n, {data} FROM generate_series(1, {mib * ROWS}) AS n;\n"
               "RESET ROLE;\nVACUUM (ANALYZE) bench_filler;", database)
    return int(world.psql(f"SELECT pg_database_size('{database}')"))


def through_copy(world, names, number):
    """`instance create --from`, as a person does it. Returns the copy's database, and when what happened."""
    name = f"copy{number}"
    phases = Phases(world.api, TENANT, name)
    phases.start()
    tenantry("instance", "create", f"{TENANT}/{name}", "--from", "crm", "--wait", "--timeout", "2h")
    phases.note("command returns", round(time.monotonic() - phases.begin, 2))
    space = f"tenant-{names['tenant_id']}"
    made = world.api.get(f"/apis/tenantry.dev/v1alpha1/namespaces/{space}/crminstances/{name}")
    return made["status"]["database"]["name"], phases.end()


def bare_copy(way, database, copy):
    """Seconds of the bare way."""
    begin = time.monotonic()
    done = subprocess.run([str(HERE / "bare-copy"), way, database, copy], text=True, capture_output=True)
    assert done.returncode == 0, f"bare-copy {way}\n{done.stdout}\n{done.stderr}"
    return time.monotonic() - begin


def turn(world, names, way, number):
    """One copy, looked at and removed. Returns what there is to keep."""
    database = f"crm_{names['instance_id']}_g1"
    world.calm()
    # Nobody pays for the writes of the turn before.
    world.psql("CHECKPOINT")
    if way == "tenantry":
        copy, phases = through_copy(world, names, number)
        found = {"ready": phases["command returns"], "copied": phases["Copied"], "phases": phases}
    else:
        copy = f"bare_{way}_{number}"
        found = {"seconds": bare_copy(way, database, copy)}
    rows = "SELECT count(*), max(id), md5(string_agg(md5(data), '' ORDER BY id)) FROM bench_filler"
    assert world.psql(rows, copy) == world.psql(rows, database), f"{way}: other rows than in the original"
    if way == "tenantry":
        name = f"{TENANT}/copy{number}"
        tenantry("instance", "archive", name, "--confirm", name)
        tenantry("instance", "purge", name, "--confirm", name, "--before-retention")
    else:
        world.psql(f"DROP DATABASE {copy} WITH (FORCE);\nDROP ROLE {copy};")
        until_ready(world.api, names)
    return found


def run(world, mib, times):
    """The figure `staging`."""
    # The job has room for twice the storage: its dump is as big as the data.
    names, _, phases = through_tenantry(world.api, TENANT, "--storage", f"{max(2500, 2 * mib)}M")
    phases.end()
    until_ready(world.api, names)
    size = fill(world, f"crm_{names['instance_id']}_g1", mib)
    found = {way: [] for way in WAYS}
    for number in range(times):
        first = number % len(WAYS)
        for way in WAYS[first:] + WAYS[:first]:
            found[way].append(turn(world, names, way, number))
            print(f"    {way} {found[way][-1]}", file=sys.stderr, flush=True)
    ready, copied = (median([one[what] for one in found["tenantry"]]) for what in ("ready", "copied"))
    dump, template = (median([one["seconds"] for one in found[way]]) for way in ("dump", "template"))
    row("staging", f"copy of {size / 1e6:.0f} MB Ready, median of {times}", "s", ready, dump, "s pg_dump | pg_restore", ready / dump)
    row("staging", "its data there, not yet neutralised", "s", copied, dump, "s pg_dump | pg_restore", copied / dump)
    row("staging", "the same beside the server's own copy", "s", copied, template, "s CREATE DATABASE TEMPLATE", copied / template)
    detail("staging", mib=mib, bytes=size, turns=found)
