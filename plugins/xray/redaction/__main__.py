"""Run the command ``python -m xray.redaction``."""

import sys

from xray.redaction.command import main

sys.exit(main())
