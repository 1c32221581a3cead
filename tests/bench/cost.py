"""Processor seconds of the programs that take part, so that it shows who was the bottleneck. Does I/O (/proc)."""

import json
import os
import time

from api import STATE
from controller import cpu_seconds


class Cost:
    """What the clock and the processors have shown since it was made."""

    def __init__(self, **others):
        self.others = others
        self.begin = time.monotonic()
        self.before = self.seconds()

    def seconds(self):
        found = {name: cpu_seconds(pid) for name, pid in self.others.items()}
        folder = os.path.join(STATE, "pids")
        for name in os.listdir(folder):
            try:
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    found[name] = cpu_seconds(json.load(file)["pid"])
            except (OSError, ValueError, KeyError):
                continue
        times = os.times()
        found["this client"] = times.user + times.system
        found["its children"] = times.children_user + times.children_system
        with open("/proc/stat", encoding="utf-8") as file:
            busy = [int(n) for n in file.readline().split()[1:9]]
        found["whole machine"] = (sum(busy) - busy[3] - busy[4]) / os.sysconf("SC_CLK_TCK")
        return found

    def so_far(self):
        """Seconds of each since the beginning, and the wall clock's."""
        spent = {name: round(now - self.before.get(name, 0), 2) for name, now in self.seconds().items()}
        machine = spent.pop("whole machine")
        wall = round(time.monotonic() - self.begin, 2)
        spent = {name: seconds for name, seconds in spent.items() if seconds > 0.05}
        # What nobody of this bench used: another program's work disturbs the figures.
        return {"wall": wall, **spent, "others": round(machine - sum(spent.values()), 2)}


def work(spent):
    """Processor seconds of all that took part."""
    return sum(seconds for name, seconds in spent.items() if name not in ("wall", "others"))


def disturbance(*costs):
    """The share of the machine that other programs took while costs were counted."""
    return sum(c["others"] for c in costs) / (os.cpu_count() * sum(c["wall"] for c in costs))
