"""The command ``python -m xray.notification``."""

import sys

from xray.notification.dialects import main

sys.exit(main(sys.argv[1:]))
