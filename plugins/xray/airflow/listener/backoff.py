"""Waiting between the attempts of a call that keeps failing, and logging without a flood."""

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
LOG_SECONDS = 60.0
"""How often the same sentence is logged. The log of the listener grows for months."""
MOST_SENTENCES = 1000
"""Sentences whose time is remembered, at most."""


class LimitedLog:
    """Logs a sentence once a minute at most, and then how often it was left out.

    Args:
        logger: the logger to write to.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._logged: dict[str, tuple[float, int]] = {}
        """For each sentence, when it was last logged and how often it was left out since."""

    def __call__(self, level: int, sentence: str, detail: str = "") -> bool:
        """Log ``sentence`` unless it was logged within the last :data:`LOG_SECONDS`.

        Returns:
            Whether it was logged.

        Args:
            level: the level of the line.
            sentence: what decides whether the line is the same as an earlier one.
            detail: put after the sentence; it may differ from line to line.
        """
        now = time.monotonic()
        logged_at, left_out = self._logged.get(sentence, (float("-inf"), 0))
        if now - logged_at < LOG_SECONDS:
            self._logged[sentence] = logged_at, left_out + 1
            return False
        if len(self._logged) >= MOST_SENTENCES:
            self._logged.clear()
        self._logged[sentence] = now, 0
        again = f" ({left_out} more since the last line)" if left_out else ""
        self._logger.log(level, "%s%s%s", sentence, detail, again)
        return True


class Backoff:
    """Waits between attempts, and logs the failures without flooding the log.

    One object serves all calls that depend on the same service: it measures how long the service
    has been failing, while each call counts its own failures.
    """

    def __init__(self) -> None:
        self._failing_since: float | None = None
        self._log = LimitedLog(log)
        self._said = False
        """Whether the present failure was logged."""

    @property
    def seconds(self) -> float:
        """The time since the first failure, in seconds; zero while all works."""
        return time.monotonic() - self._failing_since if self._failing_since is not None else 0.0

    def succeeded(self) -> None:
        """Note that a call has succeeded."""
        if self._failing_since is not None:
            if self._said:
                log.info("Working again after %.0f s.", self.seconds)
            self._failing_since, self._said = None, False

    def failed(self, error: Exception) -> None:
        """Note that a call has failed, and log why."""
        self._failing_since = self._failing_since or time.monotonic()
        self._said |= self._log(logging.WARNING, f"Trying again, nothing is lost: {error}")

    async def wait(self, error: TransientError, failures: int) -> None:
        """Log ``error`` and wait before the next attempt.

        Args:
            error: why the last attempt failed.
            failures: how often this call had failed before; the pause grows with it.
        """
        self.failed(error)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(failures, 10))
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
