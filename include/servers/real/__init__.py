"""Real servers for tests and benchmarks: Kafka, Redis, and S3 gateways with notifications."""

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xray"
"""The folder of what is downloaded or built once. It is outside the checkout, for all checkouts."""
