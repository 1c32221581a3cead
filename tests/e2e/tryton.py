"""A person's work in a real Tryton over its RPC, through the ingress. Does I/O (HTTP)."""

import base64
import json
import ssl
import time
import urllib.error
import urllib.request


class RpcError(Exception):
    """The application refused a call."""


class Tryton:
    """A session with one database. `address` is where the ingress listens, `host` whom the request is for."""

    def __init__(self, address, host, database, series="7.0", ca=None):
        self.address, self.host, self.database = address, host, database
        self.prefix = "" if series == "7.0" else "rpc/"
        self.authorization = None
        self.timeout = 60
        self.context = ssl.create_default_context(cafile=ca) if ca else None
        if self.context:
            # The ingress is reached by address; the certificate is checked against the authority only.
            self.context.check_hostname = False

    def post(self, path, method, params):
        body = json.dumps({"id": 1, "method": method, "params": params}).encode()
        headers = {"Host": self.host, "Content-Type": "application/json"}
        if self.authorization:
            headers["Authorization"] = self.authorization
        request = urllib.request.Request(self.address + path, data=body, headers=headers, method="POST")
        with urllib.request.urlopen(request, timeout=self.timeout, context=self.context) as answer:
            reply = json.load(answer)
        if reply.get("error"):
            raise RpcError(reply["error"])
        return reply.get("result")

    def call(self, method, *params):
        return self.post(f"/{self.database}/{self.prefix}", method, list(params))

    def version(self):
        return self.post(f"/{self.prefix}", "common.server.version", [])

    def log_in(self, login, password):
        result = self.call("common.db.login", login, {"password": password}, "en")
        if not result:
            raise RpcError("log-in refused")
        token = f"{login}:{result[0]}:{result[1]}"
        self.authorization = "Session " + base64.b64encode(token.encode()).decode()
        return result[0]

    def make_party(self, name):
        return self.call("model.party.party.create", [{"name": name}], {})[0]

    def party(self, number):
        return self.call("model.party.party.read", [number], ["name"], {})[0]

    def make_opportunity(self, description, party):
        company = self.call("model.res.user.get_preferences", True, {})["company"]
        values = [{"description": description, "party": party}]
        return self.call("model.sale.opportunity.create", values, {"company": company})[0]

    def opportunity(self, number):
        fields = ["description", "party", "state"]
        return self.call("model.sale.opportunity.read", [number], fields, {})[0]


def wait_for_log_in(tryton, login, password, seconds=60):
    """Logs in, trying again for some time. Returns how many seconds it took."""
    start = time.monotonic()
    while True:
        try:
            tryton.log_in(login, password)
            return time.monotonic() - start
        except (RpcError, OSError, ValueError):
            if time.monotonic() - start > seconds:
                raise
            time.sleep(0.1)
