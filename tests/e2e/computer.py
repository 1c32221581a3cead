"""A person's computer: a network of its own beside the node's, as root. Does I/O (network namespaces of this machine).

The node's interfaces come and go with every pod. A browser that lives among them ends its requests with
ERR_NETWORK_CHANGED whenever one does, which no browser of a person does that is elsewhere.
"""

import subprocess

NAME, CABLE = "tenantry-person", "tenantry-cable"


def ip(*words, check=True):
    subprocess.run(["ip", *words], check=check, capture_output=True, text=True)


class Computer:
    """Reaches this machine by one cable: every address of its own, among them `ingress`, whom names lead to."""

    # Both ends; any two addresses that the machine does not use otherwise.
    HERE, THERE = "10.97.0.1", "10.97.0.2"

    def __init__(self, ingress):
        self.ingress = ingress

    def __enter__(self):
        self.__exit__()
        try:
            ip("netns", "add", NAME)
            # An address of IPv6 that comes by itself a second later would be a change of the network, too.
            self.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6")
            ip("link", "add", CABLE, "type", "veth", "peer", "name", "eth0", "netns", NAME)
            ip("address", "add", f"{self.HERE}/30", "dev", CABLE)
            ip("link", "set", CABLE, "up")
            ip("-n", NAME, "address", "add", f"{self.THERE}/30", "dev", "eth0")
            ip("-n", NAME, "link", "set", "lo", "up")
            ip("-n", NAME, "link", "set", "eth0", "up")
            # Only there: a question about a name that leads nowhere is refused at once.
            ip("-n", NAME, "route", "add", self.ingress, "via", self.HERE)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # The cable goes with the end that is in there; by itself when that was never made.
        ip("netns", "delete", NAME, check=False)
        ip("link", "delete", CABLE, check=False)

    @staticmethod
    def words(*words):
        """The command that runs there what is given."""
        return ["ip", "netns", "exec", NAME, *words]

    def run(self, *words):
        subprocess.run(self.words(*words), check=True, capture_output=True)
