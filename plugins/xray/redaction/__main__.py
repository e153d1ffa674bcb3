"""The command ``python -m xray.redaction``."""

import sys

from xray.redaction.find import main

sys.exit(main())
