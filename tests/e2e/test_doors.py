"""TLS in front of the CRMs: the Site turns it on, and certificates are those that were asked for. Does I/O."""

import tempfile

from harness import apply, get, kubectl, run, wait
from marks import alone, own_cluster
from products import page
from tls import AUTHORITY, PORT, refused, with_tls
from world import fetch_tls, instance, ready, tenant_with, unique

pytestmark = [alone("gives every CRM another URL"), own_cluster("the authority behind its certificates")]


def test_a_site_with_tls_serves_its_hosts_over_https_with_certificates_that_hold(operator):
    name = unique("tls")
    host = f"{name}.example"
    apply(page(name))
    tenant_with(name, name)
    namespace = instance(f"{name}/crm")["metadata"]["namespace"]
    pods = {p["metadata"]["uid"] for p in get("pods", "-n", namespace)["items"]}
    with with_tls():
        wait("the URL says https", lambda: instance(f"{name}/crm")["status"]["url"] == f"https://{host}:{PORT}", 60)
        ready(f"{name}/crm", 60)
        wait("it answers over https", lambda: fetch_tls(host, PORT, AUTHORITY, "/healthz") == 200, 30)
        assert refused(host, None), "a certificate of nobody known was accepted"
        # An issuer's certificate comes as the Secret that the Ingress names.
        own = instance(f"{name}/crm")["spec"]["id"]
        spec = get("ingress", own, "-n", namespace)["spec"]
        assert spec["tls"] == [{"hosts": [host], "secretName": f"{own}-tls"}], spec
        with tempfile.TemporaryDirectory() as folder:
            key, certificate = f"{folder}/key.pem", f"{folder}/certificate.pem"
            run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
                "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", key, "-out", certificate)
            kubectl("-n", namespace, "create", "secret", "tls", f"{own}-tls", f"--cert={certificate}", f"--key={key}")
            wait("the issuer's certificate is served", lambda: refused(host, AUTHORITY), 30)
            assert fetch_tls(host, PORT, certificate, "/healthz") == 200
        after = {p["metadata"]["uid"] for p in get("pods", "-n", namespace)["items"]}
        assert pods == after, "a pod was started anew"
    wait("the URL says http again", lambda: instance(f"{name}/crm")["status"]["url"].startswith("http://"), 60)
    ready(f"{name}/crm", 60)
