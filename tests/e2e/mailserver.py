"""A real mail server (PyPI aiosmtpd) and one that hangs, on the host, where pods reach them. Does I/O."""

import atexit
import json
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from harness import get, kubectl, wait


def host():
    """The address of the host as pods see it."""
    addresses = get("nodes")["items"][0]["status"]["addresses"]
    return [a["address"] for a in addresses if a["type"] == "InternalIP"][0]


def free_port():
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        return taken.getsockname()[1]


class Opened:
    """The Site lets tenants reach the host; with a namespace, its rules for the network say so already.

    A check that opens it takes the fixture `site`: no other one then relies on a Site that is closed."""

    def __init__(self, namespace=None):
        self.namespace = namespace

    def __enter__(self):
        patch = {"spec": {"internalCidrs": [f"{host()}/32"]}}
        kubectl("patch", "site", "site", "--type=merge", "-p", json.dumps(patch))
        if self.namespace:
            def said():
                return host() in json.dumps(get("networkpolicy", "tenantry-outside", "-n", self.namespace)["spec"])
            wait(f"{self.namespace} is led to the host", said, 30)

    def __exit__(self, *_):
        kubectl("patch", "site", "site", "--type=merge", "-p", '{"spec":{"internalCidrs":null}}')


class Mail:
    """A mail server that keeps what it is given, on any port or a given one. Ends with the suite at the latest."""

    def __init__(self, port=None):
        self.port, self.folder = port or free_port(), tempfile.TemporaryDirectory()
        handler = ["-c", "aiosmtpd.handlers.Mailbox", f"{self.folder.name}/box"]
        self.server = subprocess.Popen(
            [sys.executable, "-u", "-m", "aiosmtpd", "-n", "-l", f"0.0.0.0:{self.port}", *handler],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.server.kill)

        def answers():
            with socket.create_connection((host(), self.port), timeout=5) as connection:
                return connection.recv(3) == b"220"
        wait("the mail server answers", answers, 30)

    def messages(self):
        """The messages it received, oldest first, whole."""
        new = Path(self.folder.name) / "box" / "new"
        found = sorted(new.iterdir(), key=lambda f: f.stat().st_mtime_ns) if new.exists() else []
        return [f.read_text(errors="replace") for f in found]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.kill()
        self.server.wait()


class Hanging:
    """A server that takes connections and says nothing."""

    def __enter__(self):
        self.socket = socket.socket()
        self.socket.bind(("0.0.0.0", 0))
        self.socket.listen(16)
        self.port = self.socket.getsockname()[1]
        self.asked = []
        threading.Thread(target=self.take, daemon=True).start()
        return self

    def take(self):
        try:
            while True:
                self.asked.append(self.socket.accept()[0])
        except OSError:
            pass

    def __exit__(self, *_):
        self.socket.close()
        for connection in self.asked:
            connection.close()
