"""When things happened to one tenant or instance, as a watch saw them, in seconds from the command on. Does I/O (Kubernetes)."""

import threading
import time

from api import TENANTRY


class Phases:
    """Watches an instance and its pods from before the command until `end`.

    It is known by its tenant; by its own name too when the tenant has several.
    """

    def __init__(self, api, *names):
        self.api, self.names = api, set(names)
        self.seen, self.over = {}, False
        self.begin = time.monotonic()
        for path, look in ((f"{TENANTRY}/crminstances", self.instance), ("/api/v1/pods", self.pod)):
            version = api.get(path + "?limit=1")["metadata"]["resourceVersion"]
            threading.Thread(target=self.follow, args=(path, version, look), daemon=True).start()

    def start(self):
        self.begin = time.monotonic()

    def follow(self, path, version, look):
        for _, item in self.api.watch(path, version):
            if self.over:
                return
            look(item, round(time.monotonic() - self.begin, 2))

    def note(self, what, when):
        self.seen.setdefault(what, when)

    def instance(self, item, when):
        if not self.names <= {item.get("spec", {}).get("tenant"), item["metadata"]["name"]}:
            return
        self.note("instance stored", when)
        for condition in item.get("status", {}).get("conditions", []):
            if condition["status"] == "True":
                self.note(condition["type"], when)

    def pod(self, item, when):
        # A copy's labels have another domain and the same values.
        if not self.names <= set(item["metadata"].get("labels", {}).values()):
            return
        self.note("pod stored", when)
        status = item.get("status", {})
        if any("running" in c.get("state", {}) for c in status.get("containerStatuses", [])):
            self.note("container runs", when)
        for condition in status.get("conditions", []):
            if condition["status"] == "True" and condition["type"] in ("PodScheduled", "Ready"):
                self.note({"PodScheduled": "pod scheduled", "Ready": "pod ready"}[condition["type"]], when)

    def end(self):
        self.over = True
        return dict(sorted(self.seen.items(), key=lambda pair: pair[1]))
