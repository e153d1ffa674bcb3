"""The command ``python -m xray.redaction``."""

import sys

from xray.command_line import run

sys.exit(run("redaction"))
