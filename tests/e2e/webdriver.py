"""A browser driven over the WebDriver protocol of the W3C: Debian's chromium and chromedriver, the standard library of
any Python, nothing from elsewhere. Does I/O (child process, HTTP on this machine)."""

import base64
import json
import os
import subprocess
import time
import urllib.error
import urllib.request

# How the protocol names the reference of an element.
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


class Refused(Exception):
    """The driver refused a command."""


class Browser:
    """One headless browser on a `computer`. `hosts` are names that lead to its ingress, `authority` is a file with the
    certificate of an authority that this browser trusts beside its own, `folder` an empty one for what it remembers."""

    def __init__(self, computer, folder, hosts=(), authority=None, port=9517, size=(1280, 860)):
        options = [
            "--headless=new", f"--window-size={size[0]},{size[1]}", "--lang=en", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update",
            f"--user-data-dir={folder}/profile", "--force-device-scale-factor=1",
            "--host-resolver-rules=" + ", ".join(f"MAP {host} {computer.ingress}" for host in hosts),
        ]
        if os.geteuid() == 0:
            # Its sandbox does not work for root, who runs the tests in a container.
            options.append("--no-sandbox")
        if authority:
            # Where Chromium looks for authorities that a person has added.
            store = f"sql:{folder}/.pki/nssdb"
            os.makedirs(store.removeprefix("sql:"))
            subprocess.run(["certutil", "-d", store, "-N", "--empty-password"], check=True)
            subprocess.run(["certutil", "-d", store, "-A", "-t", "C,,", "-n", "tests", "-i", authority], check=True)
        self.driver = subprocess.Popen(
            computer.words("chromedriver", f"--port={port}", "--log-level=SEVERE", f"--allowed-ips={computer.HERE}"),
            env={**os.environ, "HOME": str(folder)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.base = f"http://{computer.THERE}:{port}"
        self.session = None
        try:
            self.until("the driver answers", lambda: self.ask("GET", "/status")["ready"], 30)
            wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": options}, "goog:loggingPrefs": {"browser": "WARNING"}}
            self.session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
        except BaseException:
            self.driver.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind:
                self.describe()
        except (Refused, OSError) as error:
            print(f"  the browser cannot be asked where it is: {error}")
        try:
            self.tell("DELETE", "")
        except (Refused, OSError):
            pass
        self.driver.terminate()
        self.driver.wait(20)

    def ask(self, verb, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data=data, method=verb, headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            value = json.load(error)["value"]
            raise Refused(f"{value['error']}: {value['message'].splitlines()[0]}") from None

    def tell(self, verb, path, body=None):
        return self.ask(verb, f"/session/{self.session}{path}", body)

    def until(self, what, condition, seconds=30):
        """Waits until `condition()` gives something and returns it."""
        end, last = time.monotonic() + seconds, None
        while time.monotonic() < end:
            try:
                found = condition()
                if found:
                    return found
            except (Refused, OSError, AssertionError) as error:
                last = error
            time.sleep(0.1)
        raise AssertionError(f"waited {seconds} s in vain until {what}; last: {last}")

    def go(self, url):
        self.tell("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        return self.tell("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def all(self, css, text=None):
        """Elements that a person sees, those with this text only when one is given."""
        script = """const [css, text] = arguments;
            return [...document.querySelectorAll(css)].filter(e => e.getClientRects().length
                && getComputedStyle(e).visibility != 'hidden' && (text === null || e.textContent.trim() === text));"""
        return self.run(script, css, text)

    def see(self, css, text=None, seconds=30):
        """Waits for the first such element that a person sees."""
        named = f"{css} {text or ''}".strip()
        return self.until(f"{named} is seen", lambda: self.all(css, text)[:1], seconds)[0]

    def click(self, css, text=None, seconds=30):
        """Clicks it as soon as nothing covers it."""
        named = f"{css} {text or ''}".strip()

        def clicked():
            for element in self.all(css, text)[:1]:
                self.tell("POST", f"/element/{element[ELEMENT]}/click", {})
                return True
        self.until(f"{named} can be clicked", clicked, seconds)

    def type(self, css, text, seconds=30):
        """Writes into a field that is empty, as with the keyboard."""
        def typed():
            for element in self.all(css)[:1]:
                self.tell("POST", f"/element/{element[ELEMENT]}/value", {"text": text})
                return True
        self.until(f"{css} takes a text", typed, seconds)

    def clear(self, css):
        for element in self.all(css)[:1]:
            self.tell("POST", f"/element/{element[ELEMENT]}/clear", {})

    def picture(self, path):
        path.write_bytes(base64.b64decode(self.tell("GET", "/screenshot")))

    def describe(self):
        """Says where a browser stands whose check fails. The text of a page has no content of fields, so no password."""
        address, text = self.run("return [location.href, document.body.innerText]")
        print(f"  the browser is at {address}; its page reads:\n{text[:3000]}")
        for complaint in self.complaints()[-20:]:
            print(f"  its console: {complaint[:500]}")

    def complaints(self):
        """What the page's console warned of."""
        return [entry["message"] for entry in self.tell("POST", "/se/log", {"type": "browser"})]
