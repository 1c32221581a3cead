"""The operator as a process of this machine that logs in as the chart's ServiceAccount. Does I/O (processes, files)."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request

from api import SYSTEM, WORK, kubectl

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """Processor seconds that a process has used."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Controller:
    """The one operator of a cluster without a node: no pod could run it."""

    def __init__(self, api):
        token = kubectl("-n", SYSTEM, "create", "token", "tenantry-operator", "--duration=24h").strip()
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "bench",
            "clusters": [{"name": "bench", "cluster": api.cluster}],
            "users": [{"name": "bench", "user": {"token": token}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        }
        path = os.path.join(WORK, "operator.kubeconfig")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(config, file)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = os.path.join(WORK, "operator.log")
        environment = {
            **os.environ, "KUBECONFIG": path, "TENANTRY_METRICS_ADDR": f"127.0.0.1:{self.port}",
            "TENANTRY_SERVICE_ACCOUNT": "tenantry-operator", "POD_NAME": "bench",
        }
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(["tenantry-operator"], env=environment, stdout=log, stderr=log)
        self.wait_until_it_leads()

    def wait_until_it_leads(self):
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                if "tenantry_leader 1" in self.metrics():
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"the operator does not lead\n{self.tail()}")

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            return answer.read().decode()

    def reconciles(self):
        """Reconciles so far, by controller and result."""
        found = {}
        for line in self.metrics().splitlines():
            if line.startswith("tenantry_reconciles_total{"):
                labels, _, value = line.removeprefix("tenantry_reconciles_total").rpartition(" ")
                found[labels.strip("{}").replace('"', "")] = int(value)
        return found

    def tail(self, size=4000):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()[-size:]

    def cpu(self):
        return cpu_seconds(self.process.pid)

    def memory(self):
        """Resident memory in MB: now, and the most there was."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file)
        return {key: int(fields[key].split()[0]) * 1024 / 1e6 for key in ("VmRSS", "VmHWM")}

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(40)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
