"""Real servers for tests and benchmarks: Kafka, Redis, and S3 gateways that announce."""

import os
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xray"
"""What is fetched or built once: outside the checkout, so that the next one finds it."""
