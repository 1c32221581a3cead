"""TLS in front of the CRMs, for a while. Does I/O. Only on our own cluster, whose authority is known."""

import json
import os
import ssl
from contextlib import contextmanager
from pathlib import Path

from harness import get, kubectl
from world import fetch_tls

PORT = int(os.environ.get("TENANTRY_E2E_HTTPS_PORT", 0))
AUTHORITY = str(Path(os.environ.get("TENANTRY_E2E_STATE", "")) / "ingress-ca.pem")


def refused(host, authority):
    try:
        fetch_tls(host, PORT, authority)
    except ssl.SSLCertVerificationError:
        return True
    return False


@contextmanager
def with_tls():
    """The Site with TLS for all its hosts, as long as it is needed."""
    before = get("site", "site")["spec"]["ingress"]
    try:
        kubectl("patch", "site", "site", "--type=merge", "-p", json.dumps({"spec": {"ingress": {"tls": True, "port": PORT}}}))
        yield
    finally:
        back = {**{k: None for k in ("tls", "port")}, **before}
        kubectl("patch", "site", "site", "--type=merge", "-p", json.dumps({"spec": {"ingress": back}}))
