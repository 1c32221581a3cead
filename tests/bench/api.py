"""The API server, a connection kept open for each thread: as cheap as Python can ask it. Does I/O (HTTPS)."""

import base64
import http.client
import json
import os
import shlex
import ssl
import subprocess
import threading
import urllib.parse

CLUSTER = shlex.split(os.environ["TENANTRY_BENCH_CLUSTER"])
STATE = os.environ["TENANTRY_BENCH_STATE"]
WORK = os.environ["TENANTRY_BENCH_WORK"]
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
TENANTRY = "/apis/tenantry.dev/v1alpha1"
SYSTEM = "tenantry-system"
# Path of the collection of a kind, with its namespace when it has one.
PATHS = {
    "Namespace": "/api/v1/namespaces",
    "Secret": "/api/v1/namespaces/{ns}/secrets",
    "ConfigMap": "/api/v1/namespaces/{ns}/configmaps",
    "Service": "/api/v1/namespaces/{ns}/services",
    "ResourceQuota": "/api/v1/namespaces/{ns}/resourcequotas",
    "LimitRange": "/api/v1/namespaces/{ns}/limitranges",
    "PersistentVolumeClaim": "/api/v1/namespaces/{ns}/persistentvolumeclaims",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{ns}/networkpolicies",
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/{ns}/ingresses",
    "Deployment": "/apis/apps/v1/namespaces/{ns}/deployments",
    "CronJob": "/apis/batch/v1/namespaces/{ns}/cronjobs",
}


class Refused(Exception):
    """The API server said no."""

    def __init__(self, code, text):
        super().__init__(f"{code}: {text}")
        self.code = code


def kubectl(*words, stdin=None, ok=True):
    """The real kubectl, as the administrator. Returns what it printed."""
    done = subprocess.run(["cluster", "kubectl", *CLUSTER, *words], input=stdin, text=True, capture_output=True)
    if ok and done.returncode != 0:
        raise AssertionError(f"kubectl {' '.join(words)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def kubeconfig():
    """A file with the administrator's way in, for programs that want one. Only this user may read it."""
    path = os.path.join(WORK, "administrator.kubeconfig")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        file.write(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
    return path


def path_of(item):
    """Where an object lies."""
    meta = item["metadata"]
    return PATHS[item["kind"]].format(ns=meta.get("namespace")) + "/" + urllib.parse.quote(meta["name"])


class Api:
    """The administrator's way to the API server, for any number of threads."""

    def __init__(self):
        config = json.loads(kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        self.cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        address = urllib.parse.urlsplit(self.cluster["server"])
        self.host, self.port = address.hostname, address.port
        ca = base64.b64decode(self.cluster["certificate-authority-data"]).decode()
        self.tls = ssl.create_default_context(cadata=ca)
        pair = os.path.join(WORK, f"administrator-{os.getpid()}.pem")
        with open(os.open(pair, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(base64.b64decode(user["client-certificate-data"]))
            file.write(base64.b64decode(user["client-key-data"]))
        self.tls.load_cert_chain(pair)
        self.mine = threading.local()

    def connect(self):
        return http.client.HTTPSConnection(self.host, self.port, context=self.tls, timeout=600)

    def raw(self, method, path, body=None, kind="application/json"):
        """One request; the answer's code and bytes. A kept connection that was closed meanwhile is opened anew."""
        for attempt in (0, 1):
            if getattr(self.mine, "connection", None) is None:
                self.mine.connection = self.connect()
            try:
                self.mine.connection.request(method, path, body, {"Content-Type": kind, "Accept": "application/json"})
                answer = self.mine.connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, OSError):
                self.mine.connection.close()
                self.mine.connection = None
                if attempt:
                    raise

    def ask(self, method, path, body=None, kind="application/json"):
        """One request with JSON both ways."""
        code, data = self.raw(method, path, None if body is None else json.dumps(body), kind)
        if code >= 300:
            raise Refused(code, data.decode(errors="replace")[:500])
        return json.loads(data)

    def get(self, path):
        return self.ask("GET", path)

    def create(self, path, body):
        return self.ask("POST", path, body)

    def watch(self, path, version, selector=""):
        """Events of a collection from a version on: (type, object), until the connection ends."""
        query = urllib.parse.urlencode({"watch": 1, "resourceVersion": version, "labelSelector": selector})
        connection = self.connect()
        connection.request("GET", f"{path}?{query}", headers={"Accept": "application/json"})
        for line in connection.getresponse():
            event = json.loads(line)
            yield event["type"], event["object"]
