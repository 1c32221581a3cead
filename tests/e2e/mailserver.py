"""A real mail server (PyPI aiosmtpd) and one that hangs, on the host, where pods reach them. Does I/O."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from harness import get, run

VERSION = "1.4.6"


def host():
    """The address of the host as pods see it."""
    addresses = get("nodes")["items"][0]["status"]["addresses"]
    return [a["address"] for a in addresses if a["type"] == "InternalIP"][0]


def free_port():
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        return taken.getsockname()[1]


def python():
    """A Python that has aiosmtpd, kept in the cache."""
    folder = Path(os.environ["TENANTRY_CACHE"]) / f"aiosmtpd-{VERSION}"
    if not (folder / "done").exists():
        run(sys.executable, "-m", "venv", "--clear", str(folder))
        run(str(folder / "bin" / "pip"), "install", "-q", f"aiosmtpd=={VERSION}")
        (folder / "done").touch()
    return str(folder / "bin" / "python")


class Mail:
    """A mail server; `messages()` is what it received."""

    def __enter__(self):
        self.port = free_port()
        self.server = subprocess.Popen(
            [python(), "-u", "-m", "aiosmtpd", "-n", "-l", f"0.0.0.0:{self.port}"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.lines = []
        threading.Thread(target=lambda: self.lines.extend(self.server.stdout), daemon=True).start()
        for _ in range(100):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.1)
        raise AssertionError("the mail server does not start")

    def messages(self):
        return "".join(list(self.lines)).count("MESSAGE FOLLOWS")

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
