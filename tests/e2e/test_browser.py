"""A person at a browser: the web client of Tryton through the ingress with TLS. Does I/O (a headless Chromium).

Pictures are written to TENANTRY_E2E_PICTURES when it is set; those in docs/images come from here.
"""

import os
import tempfile
from pathlib import Path

from computer import Computer
from harness import get, tenantry, wait
from marks import alone, own_cluster
from sao import WebClient
from tls import AUTHORITY, PORT, with_tls
from webdriver import Browser
from world import instance, query, ready, session, tenant_with, unique

pytestmark = [alone("gives every CRM another URL"), own_cluster("the authority behind its certificates, and the node's network")]
SEATS = "SELECT count(*) FROM res_user WHERE active AND id <> 0"


def pictures(folder):
    wanted = Path(os.environ.get("TENANTRY_E2E_PICTURES") or folder)
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted


def entrance(crm):
    """The address that the ingress controller tells for an instance."""
    found = instance(crm)
    door = get("ingress", found["spec"]["id"], "-n", found["metadata"]["namespace"])
    return door["status"]["loadBalancer"]["ingress"][0]["ip"]


def test_a_person_works_in_the_web_client_over_https_and_makes_a_seats_user(operator):
    name = unique("person")
    host, crm = f"{name}.example", f"{name}/crm"
    tenant_with(name, "tryton", "--display-name", "Acme Trading Co.")
    rpc = session(crm, host)
    rpc.make_party("First Customer Ltd.")
    database = instance(crm)["status"]["database"]["name"]
    password = tenantry("instance", "password", crm).stdout.strip()
    seats = int(query(database, SEATS).stdout)
    # Chromium may still write while its folder goes.
    with with_tls(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        address = f"https://{host}:{PORT}"
        wait("the URL says https", lambda: instance(crm)["status"]["url"] == address, 60)
        ready(crm, 60)
        taken = pictures(f"{folder}/pictures")
        with Computer(entrance(crm)) as computer:
            with Browser(computer, f"{folder}/stranger", [host]) as browser:
                browser.go(f"{address}/")
                shown = browser.run("return document.title")
                assert shown == "Privacy error", f"a certificate of nobody known was accepted: {shown}"
            with Browser(computer, f"{folder}/home", [host], AUTHORITY) as browser:
                client = WebClient(browser, address, database)
                client.log_in("admin", password, taken / "tryton-login.png")

                client.open("sale.opportunity")
                client.new("party")
                client.choose("party", "First Customer Ltd.")
                client.fill("description", "500 chairs, by hand")
                opportunity = client.save("sale.opportunity")
                # The address has the record's id as soon as it is saved; what the form shows is read after that.
                browser.until("the opportunity has a number", lambda: client.value("number"))
                browser.picture(taken / "tryton-opportunity.png")
                made = rpc.opportunity(opportunity)
                assert made["description"] == "500 chairs, by hand", made
                assert rpc.party(made["party"])["name"] == "First Customer Ltd.", made

                client.open("res.user")
                client.new("login")
                client.fill("name", "Second Person")
                client.fill("login", "second")
                client.fill("password", "a word that nobody guesses")
                client.save("res.user")
                browser.picture(taken / "tryton-user.png")
                assert int(query(database, SEATS).stdout) == seats + 1
            with Browser(computer, f"{folder}/elsewhere", [host], AUTHORITY) as browser:
                WebClient(browser, address, database).log_in("second", "a word that nobody guesses")
                shown = browser.run("return document.querySelector('#user-preferences a').textContent")
                assert shown.startswith("Second Person"), shown
    wait("the URL says http again", lambda: instance(crm)["status"]["url"].startswith("http://"), 60)
