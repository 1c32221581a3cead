"""What the audit log says of requests: who sent how many of which. Does I/O (reads a file)."""

import collections
import datetime
import json
import os

WRITES = {"create", "update", "patch", "delete", "deletecollection"}
OPERATOR = "system:serviceaccount:tenantry-system:tenantry-operator"


class Audit:
    """A place in the log, from which on requests are counted."""

    def __init__(self, state):
        self.path = os.path.join(state, "audit.log")
        self.start = os.path.getsize(self.path)

    def requests(self, user=OPERATOR):
        """Finished requests of a user since this place; Leases are left out."""
        with open(self.path, "rb") as file:
            file.seek(self.start)
            for line in file:
                # A line that is still being written ends without its newline.
                if not line.endswith(b"\n") or user.encode() not in line:
                    continue
                event = json.loads(line)
                where = event.get("objectRef", {})
                if event["stage"] != "ResponseComplete" or event["user"]["username"] != user:
                    continue
                if where.get("resource") != "leases":
                    yield event

    def count(self, user=OPERATOR):
        """Writes and reads since this place, and what they were; watches are neither."""
        writes, reads, kinds, waited = 0, 0, collections.Counter(), collections.Counter()
        for event in self.requests(user):
            where, verb = event.get("objectRef", {}), event["verb"]
            resource = "/".join(filter(None, [where.get("resource", "?"), where.get("subresource")]))
            code = event.get("responseStatus", {}).get("code", 0)
            kind = f"{verb} {resource}" + (f" ({code})" if code >= 400 else "")
            kinds[kind] += 1
            if verb != "watch":
                waited[kind] += moment(event["stageTimestamp"]) - moment(event["requestReceivedTimestamp"])
            writes += verb in WRITES
            reads += verb in ("get", "list")
        return {"writes": writes, "reads": reads, "kinds": dict(kinds.most_common()),
                "milliseconds": {kind: round(1000 * s / kinds[kind], 1) for kind, s in waited.most_common()}}


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
