"""The command ``python -m xray.notification``."""

import sys

from xray.command_line import run

sys.exit(run("notification"))
