"""The command ``python -m xray.audit``."""

import sys

from xray.audit.trail import main

sys.exit(main())
