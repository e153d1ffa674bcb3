"""The command ``python -m xray``."""

import sys

from xray.command_line import main

sys.exit(main())
