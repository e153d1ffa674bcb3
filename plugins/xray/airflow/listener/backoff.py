"""Waiting between the attempts of a call that keeps failing."""

from __future__ import annotations

import asyncio
import logging
import random
import time

from xray.errors import TransientError

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
"""Seconds before the second attempt. The pause doubles with each failure, with jitter."""
LONGEST_PAUSE = 15.0
"""Seconds between two attempts, at most."""
LOG_SECONDS = 15.0
"""How often the same error is logged. Hundreds of runs may be waiting for the end of it."""


class Backoff:
    """Waits between attempts, and logs the failures without flooding the log.

    One object serves all calls that depend on the same service: it measures how long the service
    has been failing, while each call counts its own failures.
    """

    def __init__(self) -> None:
        self._failing_since: float | None = None
        self._logged = ""
        self._logged_at = float("-inf")

    @property
    def seconds(self) -> float:
        """The time since the first failure, in seconds; zero while all works."""
        return time.monotonic() - self._failing_since if self._failing_since is not None else 0.0

    def succeeded(self) -> None:
        """Note that a call has succeeded."""
        if self._failing_since is not None:
            log.info("Working again after %.0f s.", self.seconds)
            self._failing_since, self._logged = None, ""

    async def wait(self, error: TransientError, failures: int) -> None:
        """Log ``error`` and wait before the next attempt.

        Args:
            error: why the last attempt failed.
            failures: how often this call had failed before; the pause grows with it.
        """
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        if str(error) != self._logged or now - self._logged_at >= LOG_SECONDS:
            log.warning("Trying again, nothing is lost: %s", error)
            self._logged, self._logged_at = str(error), now
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
