"""A private PostgreSQL of this machine, as the tests of faults start it, and psql in it. Does I/O (processes)."""

import os
import socket
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BIN = "/usr/lib/postgresql/15/bin"
PASSWORD = "benchPassword7x"


class Postgres:
    """Ends with this process, however that ends."""

    def __init__(self):
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        ports = [one.getsockname()[1] for one in held]
        for one in held:
            one.close()
        self.port = ports[0]
        words = [tempfile.mkdtemp(prefix="tenantry-bench-pg."), *map(str, ports), BIN, PASSWORD]
        script = str(ROOT / "operator/tests/faults/postgres.sh")
        self.process = subprocess.Popen(
            ["bash", script, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        said = self.process.stdout.readline().strip()
        assert said == "ready", f"PostgreSQL does not start: {said}"

    def start(self, sql, database="postgres"):
        """A psql that works through a text and stops at the first error."""
        process = subprocess.Popen(
            [f"{BIN}/psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres",
             "-d", database, "-f", "-"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PGPASSWORD": PASSWORD})
        process.stdin.write(sql)
        process.stdin.close()
        return process

    @staticmethod
    def end(process):
        """What a psql printed."""
        out, err = process.stdout.read(), process.stderr.read()
        assert process.wait() == 0, f"psql: {err[-2000:]}"
        return out.strip()

    def run(self, sql, database="postgres"):
        return self.end(self.start(sql, database))

    def stop(self):
        self.process.stdin.close()
        self.process.wait()
