"""The command ``python -m xray.audit``."""

import sys

from xray.command_line import run

sys.exit(run("audit"))
