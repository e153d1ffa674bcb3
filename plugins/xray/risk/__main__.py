"""The command ``python -m xray.risk``."""

import sys

from xray.command_line import run

sys.exit(run("risk"))
