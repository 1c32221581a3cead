#!/usr/bin/env python3
"""The demo's work in the CRM: log in, make a party and an opportunity, read them back. Does I/O (HTTP)."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "e2e"))
from tryton import Tryton, wait_for_log_in  # noqa: E402


def main():
    address, host, database, password = sys.argv[1:5]
    crm = Tryton(address, host, database)
    seconds = wait_for_log_in(crm, "admin", password)
    print(f"logged in to Tryton {crm.version()} as admin ({seconds:.1f} s)")
    start = time.monotonic()
    party = crm.make_party("First Customer Ltd.")
    opportunity = crm.make_opportunity("500 chairs", party)
    seen = crm.opportunity(opportunity)
    assert seen["description"] == "500 chairs" and seen["party"] == party, seen
    name = crm.party(party)["name"]
    print(f"made party {name!r} and opportunity {seen['description']!r}, read back ({time.monotonic() - start:.1f} s)")


if __name__ == "__main__":
    main()
