"""An equal Helm chart, made from the same objects, and its releases. Does I/O (files, processes)."""

import concurrent.futures
import os
import shutil
import subprocess
import time

from api import WORK, kubeconfig

AT_ONCE = 4


def write_chart(pattern):
    """A chart whose values are the holes of the pattern."""
    folder = os.path.join(WORK, "chart")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "templates"))
    with open(os.path.join(folder, "Chart.yaml"), "w", encoding="utf-8") as file:
        file.write("apiVersion: v2\nname: tenant\nversion: 0.1.0\n")
    for number, text in enumerate(pattern.texts):
        assert "{{" not in text, "an object has braces that Helm would read"
        for hole in pattern.names:
            text = text.replace(f"<<{hole}>>", "{{ .Values.%s }}" % hole)
        with open(os.path.join(folder, "templates", f"{number:02}.yaml"), "w", encoding="utf-8") as file:
            file.write(text + "\n")
    return folder


def install_all(pattern, tenants):
    """One release a tenant; `tenants` are the names that fill the holes. Returns the seconds that it took."""
    chart = write_chart(pattern)
    config = kubeconfig()

    def one(names):
        values = ",".join(f"{hole}={names[hole]}" for hole in pattern.names)
        done = subprocess.run(
            ["helm", "--kubeconfig", config, "--namespace", "default", "upgrade", "--install", names["tenant_name"],
             chart, "--set-string", values], text=True, capture_output=True)
        if done.returncode != 0:
            raise AssertionError(f"helm: {done.stderr[-1000:]}")

    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, tenants))
    return time.monotonic() - begin
