"""How the checks are chosen, ordered, kept apart and reported, and the fixtures that say what one needs. Does I/O."""

import os
import shutil
import tempfile
import time

import pytest
import turns
import world
from chart import installed
from harness import OWN, kubectl, tenantry
from mariadb import MARIA, mariadb_server
from world import SYSTEM, ready, there

# The order of the files. Those that run side by side come between what is first and what must be alone, long stories
# before short ones; Tenantry is taken away, and comes back, among the last.
ORDER = ("installing tenants engines request_tracker staging integrations authors faults big unfit unseen network refusals "
         "terminal servers doors browser operators updates leaving").split()
OVER = "what comes first"


# --- Fixtures -----------------------------------------------------------------------------------------------------

@pytest.fixture(scope="session")
def operator():
    """Tenantry from its charts, with a database server `pg-shared-1` that is Ready. Installed unless it is there."""
    with turns.locked("operator"):
        installed()


@pytest.fixture(scope="session")
def acme(operator):
    """`acme/crm`, a tenant with the real CRM at crm.acme.example. Everybody looks at it and nobody changes it."""
    with turns.locked("acme"):
        if not there("tenant", "acme"):
            tenantry("tenant", "create", "acme", "--blueprint", "tryton", "--plan", "fibo-2", "--host", "crm.acme.example")
        # The first of a release is built as a template first, which takes minutes.
        ready("acme/crm", 900)
    return "acme/crm"


@pytest.fixture(scope="session")
def mariadb(operator):
    """The name of a MariaDB server that is Ready."""
    with turns.locked("mariadb"):
        mariadb_server()
    return MARIA


@pytest.fixture
def site(operator, request):
    """The Site, for one check at a time: those that open it for a moment, and those that rely on what it says."""
    begin = time.monotonic()
    with turns.locked("site"):
        request.node.user_properties.append(("waited", time.monotonic() - begin))
        yield


@pytest.fixture(scope="session")
def load_image():
    """Brings the archive of an image to the nodes."""
    if not OWN and not world.LOAD:
        pytest.skip("brings an image to the nodes: say how with TENANTRY_E2E_LOAD")
    return world.load_image


# --- Which checks, and in which order -----------------------------------------------------------------------------

def sentence(name):
    return name.removeprefix("test_").replace("_", " ")


def module(item):
    return item.module.__name__.removeprefix("test_")


def pytest_addoption(parser):
    parser.addoption("--word", action="append", default=[], help="only checks in whose file or sentence a word begins so")


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        os.environ[turns.FOLDER] = tempfile.mkdtemp(prefix="tenantry-turns.")
        config.pluginmanager.register(Told(config), "told")


def begins(item, words):
    """Whether a word of the file's name or of the sentence begins with one of these."""
    name = f" {module(item)} {item.name}".replace("test_", "").replace("_", " ")
    return any(" " + word.replace("_", " ") in name for word in words)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    words = config.getoption("word")
    by_name = {(item.module, item.name): item for item in items}
    chosen, left = set(), [i for i in items if not words or begins(i, words)]
    if not words and not os.environ.get("TENANTRY_TEST_ALL"):
        left = [i for i in left if not i.get_closest_marker("slow")]
    # Steps of a story bring those before them.
    while left:
        item = left.pop()
        chosen.add(item)
        left += [by_name[item.module, mark.args[0]] for mark in item.iter_markers("after")]
    config.hook.pytest_deselected(items=[i for i in items if i not in chosen])
    items[:] = sorted((i for i in items if i in chosen), key=lambda i: ORDER.index(module(i)))


# --- Turns ----------------------------------------------------------------------------------------------------------

passed, first = set(), set()


def pytest_collection_finish(session):
    first.update(i.nodeid for i in session.items if i.get_closest_marker("first"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    # Outside of every phase, so that nobody's time counts the waiting for others.
    is_first = item.nodeid in first
    if first and not is_first:
        turns.until_over(OVER)
    with turns.room(bool(item.get_closest_marker("alone"))):
        done = yield
    if is_first:
        first.discard(item.nodeid)
        if not first:
            turns.over(OVER)
    return done


def pytest_runtest_setup(item):
    for mark in item.iter_markers("own_cluster"):
        if not OWN:
            pytest.skip(f"needs our own test cluster: {mark.args[0]}")
    for mark in item.iter_markers("after"):
        if (item.module.__name__, mark.args[0]) not in passed:
            pytest.skip(f"goes on where this did not end well: {sentence(mark.args[0])}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call" and report.passed:
        passed.add((item.module.__name__, item.name))
    return report


# --- What is told ---------------------------------------------------------------------------------------------------

def pytest_report_teststatus():
    """Nothing of pytest's own: `Told` says it in sentences."""
    return "", "", ""


class Told:
    """Says how each check ended as soon as it did, and at the end how many did and which took longest."""

    def __init__(self, config):
        self.config, self.begin = config, time.monotonic()
        self.ends, self.times, self.phases = {"ok": 0, "FAIL": 0, "skip": 0}, [], {}

    def say(self, text):
        capture = self.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print(text, flush=True)

    def pytest_collectreport(self, report):
        if report.failed:
            self.ends["FAIL"] += 1
            self.say(f"  FAIL  {report.nodeid} cannot be read\n{report.longreprtext}")

    def pytest_runtest_logreport(self, report):
        phases = self.phases.setdefault(report.nodeid, [])
        phases.append(report)
        if report.when != "teardown":
            return
        del self.phases[report.nodeid]
        file, _, name = report.nodeid.rpartition("::")
        failed, skipped = [p for p in phases if p.failed], [p for p in phases if p.skipped]
        end = "FAIL" if failed else "skip" if skipped else "ok"
        self.ends[end] += 1
        waited = sum(seconds for what, seconds in report.user_properties if what == "waited")
        made = sum(p.duration for p in phases if p.when == "setup") - waited
        took = sum(p.duration for p in phases) - waited
        if end == "skip":
            self.say(f"  skip  {sentence(name)} ({skipped[0].longrepr[2].removeprefix('Skipped: ')})")
            return
        self.times.append((took, made, sentence(name), file))
        self.say(f"  {end:<4}  {sentence(name)} ({took:.1f} s)")
        for phase in failed:
            self.say(phase.longreprtext)
            for title, text in phase.sections:
                self.say(f"  {title}:\n{text[-6000:]}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session):
        if self.ends["FAIL"]:
            log = kubectl("-n", SYSTEM, "logs", "deploy/tenantry-operator", "--tail=60", ok=False)
            self.say(log.stdout[-6000:])
            self.say(kubectl("get", "tenants,crm,dbs,arc,pods", "-A", "-o", "wide", ok=False).stdout)
        self.say("the slowest ten:")
        for took, made, name, file in sorted(self.times, reverse=True)[:10]:
            of_it = f", {made:.1f} s of it to make what it needs" if made >= 1 else ""
            self.say(f"  {took:6.1f} s  {name} ({file}{of_it})")
        skipped = f" ({self.ends['skip']} skipped)" if self.ends["skip"] else ""
        self.say(f"{self.ends['ok']} passed, {self.ends['FAIL']} failed in {time.monotonic() - self.begin:.0f} s{skipped}")
        if not self.ends["ok"] and session.exitstatus == 0:
            session.exitstatus = 1

    def pytest_unconfigure(self):
        shutil.rmtree(os.environ[turns.FOLDER], ignore_errors=True)
