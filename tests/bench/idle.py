"""A fleet that nobody touches: what the operator writes, reads, holds and uses. Does I/O (waits; audit log, /proc)."""

import time

from audit import Audit
from fleet import settle
from report import detail, row


def run(world, seconds):
    """The figure `idle`."""
    settle(lambda: Audit(world.state))
    # Database servers are asked every 30 s: what the figures before this one changed on them is noticed by then.
    time.sleep(40)
    controller = world.controller
    audit, cpu, before = Audit(world.state), controller.cpu(), controller.reconciles()
    time.sleep(seconds)
    used, memory, asked = controller.cpu() - cpu, controller.memory(), audit.count()
    asked["reconciles"] = {k: v - before.get(k, 0) for k, v in controller.reconciles().items() if v > before.get(k, 0)}
    tenants = world.count("tenants")
    row("idle", f"writes in {seconds} s, {tenants} tenants", "", asked["writes"], 0, "bare", asked["writes"], "<= 0")
    row("idle", "reads", "", asked["reads"], 0, "bare", None)
    row("idle", "resident memory of the operator", "MB", memory["VmRSS"], memory["VmHWM"], "MB at most since its start",
        memory["VmRSS"] / memory["VmHWM"])
    row("idle", "processor seconds of the operator", "s", used, float(seconds), "s on the clock", used / seconds)
    detail("idle", seconds=seconds, tenants=tenants, asked=asked, memory=memory, cpu=used)
