"""The author of a blueprint: the contract test passes what is sound and finds what is broken, at its point. Does I/O."""

import json
import os
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

import board
from harness import get, kubectl, run, tenantry, wait
from marks import alone, slow
from products import notes, page
from world import HERE, ROOT, query, unique

TEST = "tenantry.dev/blueprint-test"
WORDS = {"passed", "failed", "not stated", "not tested"}


def tested(*words, blueprint=None, timeout=900):
    """Runs the contract test. Gives its exit code and the outcome and reason of each point."""
    stdin = json.dumps(blueprint) if blueprint else None
    answer = tenantry("blueprint", "test", *words, "-o", "json", "--timeout", "6m", ok=False, stdin=stdin, timeout=timeout)
    assert answer.stdout.startswith("{"), answer
    report = json.loads(answer.stdout)
    points = {p["point"]: (p["outcome"], p["reason"]) for p in report["points"]}
    assert len(points) == 15 and {o for o, _ in points.values()} <= WORDS and all(r for _, r in points.values()), points
    assert report["passed"] == (answer.returncode == 0) and not report["left"], (answer.returncode, report)
    return answer.returncode, points


def outcomes(points, outcome):
    return {point for point, (o, _) in points.items() if o == outcome}


def nothing_is_left():
    for kind in ("tenants", "blueprints", "plans"):
        assert not get(kind, "-l", TEST)["items"], kind
    names = [n["metadata"]["name"] for n in get("namespaces", "-l", "tenantry.dev/tenant")["items"]
             if n["metadata"]["labels"]["tenantry.dev/tenant"].startswith("bptest-")]
    assert not names, names
    open_archives = [a["metadata"]["name"] for a in get("archives")["items"]
                     if a["spec"]["tenantName"].startswith("bptest-") and a["status"]["phase"] != "Purged"]
    assert not open_archives, open_archives


def templates():
    """Templates there are. Those of blueprints that are gone are collected meanwhile: what counts is what comes."""
    return set(query("postgres", "SELECT datname FROM pg_database WHERE datname LIKE 'tpl%'").stdout.split())


def no_template_is_left(before):
    """None has come of which nobody has a copy; what others install at the same time is copied as soon as it is built."""
    def none():
        copied = query("tenantry_registry", "SELECT DISTINCT template FROM databases WHERE template IS NOT NULL "
                       "AND name IN (SELECT datname FROM pg_database)").stdout.split()
        left = templates() - before - set(copied)
        assert not left, left
        return True
    wait("no template is left", none, 180)


def desk(**more):
    """A product with a table that is filled by the install, and seats in it."""
    install = {"steps": [{"name": "tables", "sql": "CREATE TABLE people (id int PRIMARY KEY, active bool NOT NULL);\n"
                                                   "INSERT INTO people VALUES (1, true), (2, true), (3, false)"}]}
    seats = {"countSql": "SELECT count(*) FROM people WHERE active", "tables": [{"table": "people", "activeWhen": "{row}.active"}]}
    tables = {"writableTables": ["people", "not_in_this_release"]}
    return notes(unique("desk"), **{"install": install, "seats": seats, "readOnly": tables, **more})


def passes(path):
    """A product that states everything holds everything."""
    code, points = tested(str(path), timeout=1200)
    assert code == 0, (path, points)
    assert outcomes(points, "passed") >= {"valid", "installs", "verified", "copies", "secrets", "restarts", "seats",
                                          "readOnly", "schedules", "stages", "neutralises", "suspends", "resumes",
                                          "archives", "purges"}, (path, points)


def test_the_unseen_product_passes_its_contract_test_and_leaves_nothing(operator):
    code, points = tested(str(HERE / "unseen-product.yaml"))
    assert code == 0, points
    assert outcomes(points, "passed") >= {"valid", "installs", "verified", "secrets", "restarts", "suspends", "resumes",
                                          "archives", "purges"}, points
    assert outcomes(points, "not stated") >= {"copies", "seats", "readOnly", "schedules"}, points
    nothing_is_left()


def test_a_product_with_a_database_passes_and_its_template_goes_with_it(operator):
    before = templates()
    schedule = {"name": "tick", "cron": "H * * * *", "command": ["/tenantry-agent", "--help"]}
    code, points = tested("-", blueprint=desk(schedules=[schedule]))
    assert code == 0, points
    assert outcomes(points, "passed") >= {"copies", "secrets", "seats", "readOnly", "schedules", "purges"}, points
    assert points["seats"][1].startswith("2 active"), points["seats"]
    assert "not_in_this_release" in points["readOnly"][1], points["readOnly"]
    no_template_is_left(before)
    nothing_is_left()


def test_a_verification_that_cannot_pass_is_found_there(operator):
    never = {"timeoutSeconds": 5, "steps": [{"name": "never", "path": "/healthz", "status": [418]}]}
    code, points = tested("-", blueprint=page(unique("never"), verify=never))
    assert code == 1 and outcomes(points, "failed") == {"verified"}, points
    assert points["installs"][0] == "passed" and "never" in points["verified"][1], points
    assert points["restarts"] == ("not tested", "verified failed"), points
    nothing_is_left()


@slow
def test_promises_that_are_not_held_are_each_found_at_their_point(operator):
    broken = desk(
        env={"APP_SECRET": "correct-horse-battery"},
        schedules=[{"name": "tick", "cron": "H * * * *", "command": ["/tenantry-agent", "no-such-command"]}],
    )
    broken["spec"]["seats"]["tables"][0]["activeWhen"] = "{row}.id > 0"
    broken["spec"]["readOnly"]["writableTables"] = ["nothing_of_this_name"]
    code, points = tested("-", blueprint=broken)
    assert code == 1 and outcomes(points, "failed") == {"secrets", "schedules", "seats", "readOnly"}, points
    assert "APP_SECRET" in points["secrets"][1] and "correct-horse" not in json.dumps(points), points
    assert "counts 3, countSql 2" in points["seats"][1], points
    assert points["purges"][0] == "passed", points
    nothing_is_left()


@slow
def test_a_product_whose_copies_could_write_to_customers_is_found_before_one_starts(operator):
    mail = {"steps": [{"name": "tables", "sql": "CREATE TABLE mail (body text);\nINSERT INTO mail VALUES ('to a customer')"}]}
    idle = {"steps": [{"name": "nothing", "sql": "DELETE FROM mail WHERE body = 'of another release'"}],
            "verifySql": ["SELECT NOT EXISTS (SELECT FROM mail)"]}
    code, points = tested("-", blueprint=notes(unique("talks"), install=mail, neutralise=idle))
    assert code == 1 and outcomes(points, "failed") == {"neutralises"}, points
    assert "verifySql[0]" in points["neutralises"][1] and points["stages"][0] == "not tested", points
    nothing_is_left()


def test_a_blueprint_that_does_not_render_or_install_is_found_before_anything_else(operator):
    wrong = page(unique("wrong"), env={"HOST": "{{ instance.hots }}"})
    code, points = tested("-", blueprint=wrong)
    assert code == 1 and outcomes(points, "failed") == {"valid"} and "hots" in points["valid"][1], points
    wrong = page(unique("wrong"), proceses=[])
    code, points = tested("-", blueprint=wrong)
    assert code == 1 and outcomes(points, "failed") == {"valid"} and "proceses" in points["valid"][1], points
    unfit = desk(install={"steps": [{"name": "tables", "sql": "CREATE TABLE people (id nonsense)"}]})
    before = templates()
    code, points = tested("-", blueprint=unfit)
    assert code == 1 and outcomes(points, "failed") >= {"installs"} and "nonsense" in points["installs"][1], points
    assert points["verified"][0] == "not tested", points
    no_template_is_left(before)
    nothing_is_left()


def test_a_contract_test_that_is_left_takes_everything_away(operator):
    words = ["tenantry", "blueprint", "test", "-", "--timeout", "6m"]
    never = {"timeoutSeconds": 600, "steps": [{"name": "never", "path": "/healthz", "status": [418]}]}
    test = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        test.stdin.write(json.dumps(page(unique("left"), verify=never)))
        test.stdin.close()
        wait("its instance is there", lambda: get("tenants", "-l", TEST)["items"] and "bptest" in kubectl("get", "crm", "-A").stdout)
        test.send_signal(signal.SIGINT)
        out, errors = test.stdout.read(), test.stderr.read()
        assert test.wait(300) == 130, (test.returncode, out, errors)
    finally:
        test.kill()
    nothing_is_left()


def kept_releases():
    return {m["metadata"]["name"] for m in get("configmaps", "-n", "tenantry-system")["items"]
            if m["metadata"]["name"].startswith("release-")}


@slow
@alone("compares all releases that are kept before and after")
def test_what_kept_and_killed_tests_leave_is_swept_by_name_only(acme):
    before, releases = templates(), kept_releases()
    broken = desk()
    broken["spec"]["readOnly"]["writableTables"] = ["nothing_of_this_name"]
    code, points = tested("-", "--keep", blueprint=broken)
    assert code == 1 and outcomes(points, "failed") == {"readOnly"} and templates() - before, points
    kept, = (t["metadata"]["name"] for t in get("tenants", "-l", TEST)["items"])
    words = ["tenantry", "blueprint", "test", "-", "--timeout", "6m"]
    never = {"timeoutSeconds": 600, "steps": [{"name": "never", "path": "/healthz", "status": [418]}]}
    test = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True, env=os.environ)
    try:
        test.stdin.write(json.dumps(page(unique("killed"), verify=never)))
        test.stdin.close()
        wait("its tenant is there", lambda: len(get("tenants", "-l", TEST)["items"]) == 2)
    finally:
        test.kill()
        test.wait()
    names = {t["metadata"]["name"] for t in get("tenants", "-l", TEST)["items"]}
    killed, = names - {kept}
    told = json.loads(tenantry("blueprint", "sweep", "--all", "--dry-run", "-o", "json").stdout)
    assert {t["name"] for t in told["tests"]} == names, told
    # Not without the name once more, and never what is not of a test.
    assert tenantry("blueprint", "sweep", kept, ok=False).returncode == 2
    assert tenantry("blueprint", "sweep", "acme", "--confirm", "acme", ok=False).returncode == 3
    assert {t["metadata"]["name"] for t in get("tenants", "-l", TEST)["items"]} == names
    tenantry("blueprint", "sweep", kept, "--confirm", kept)
    no_template_is_left(before)
    assert [t["metadata"]["name"] for t in get("tenants", "-l", TEST)["items"]] == [killed]
    tenantry("blueprint", "sweep", "--all", "--confirm", killed)
    nothing_is_left()
    assert kept_releases() == releases, kept_releases() - releases
    assert tenantry("blueprint", "sweep", "--all").stdout == "no test of a blueprint left anything\n"
    get("tenant", "acme")


@slow
def test_tryton_request_tracker_and_a_product_of_a_container_file_and_yaml_pass_their_contract_tests_side_by_side(mariadb, load_image):
    board.the_image(load_image)
    products = [ROOT / "manifests/blueprints/tryton.yaml", ROOT / "manifests/blueprints/request-tracker.yaml",
                board.FOLDER / "blueprint.yaml"]
    # Most of a test is waiting; and two authors at work at once must not disturb each other.
    with ThreadPoolExecutor() as authors:
        list(authors.map(passes, products))
    nothing_is_left()


def test_a_draft_is_written_once_and_is_valid(operator):
    compose = "services: {web: {image: 'demo:1', ports: [80], environment: {DB_HOST: db, APP_KEY: not-to-be-copied}}, db: {image: 'postgres:15'}}"
    path = f"{tempfile.gettempdir()}/{unique('draft')}.yaml"
    tenantry("blueprint", "new", "demo", "--from-compose", "-", "--to", path, stdin=compose)
    text = run("cat", path).stdout
    assert "{{ database.host }}" in text and "secrets.app_key" in text and "not-to-be-copied" not in text, text
    tenantry("blueprint", "validate", path)
    again = tenantry("blueprint", "new", "demo", "--from-compose", "-", "--to", path, stdin=compose, ok=False)
    assert again.returncode == 4 and run("cat", path).stdout == text, again
    alone = tenantry("blueprint", "new", "demo", "--to", path + ".2", ok=False)
    assert alone.returncode == 2 and "--image, --port, --engine" in alone.stderr, alone
    schema = json.loads(tenantry("blueprint", "schema").stdout)
    assert schema["properties"]["kind"] == {"const": "Blueprint"}, schema["properties"].keys()
    os.unlink(path)
