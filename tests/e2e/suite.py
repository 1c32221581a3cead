"""The end-to-end suite: what people do with Tenantry, on real parts. The order of the files is the order of the checks.

usage: suite.py [WORD...]   only checks whose file or sentence holds one of the words
"""

import sys

import installing  # noqa: F401
import tenants  # noqa: F401
import engines  # noqa: F401
import request_tracker  # noqa: F401
import unseen  # noqa: F401
import doors  # noqa: F401
import staging  # noqa: F401
import browser  # noqa: F401
import faults  # noqa: F401
import unfit  # noqa: F401
import servers  # noqa: F401
import big  # noqa: F401
import operators  # noqa: F401
import updates  # noqa: F401
import integrations  # noqa: F401
import network  # noqa: F401
import refusals  # noqa: F401
import terminal  # noqa: F401
import authors  # noqa: F401
import leaving  # noqa: F401
from harness import main

if __name__ == "__main__":
    sys.exit(main())
