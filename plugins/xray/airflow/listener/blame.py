"""Whether a run is to blame for the errors of the API, or the API itself.

An API that answers HTTP 500 may be at fault itself, or may fail on this one run for ever. A run is
blamed only if it has failed often and for long while the API started other runs reliably. Only the
first attempt of another run counts, so that a run that fails for ever does not count again and
again. While the API is unreliable, no run is blamed: its failures are counted anew.

If the API fails at random, whatever its error rate, the probability that a good run is blamed is at
most 1.2e-8: it would have to fail 20 times in a row while 16 of 20 others start at once.
"""

from __future__ import annotations

import asyncio

FAILURES = 20
"""How often a run has to fail in a row."""
SECONDS = 600.0
"""How long it has to fail."""
OTHERS = 20
"""How many other runs have to be attempted for the first time meanwhile."""
UNRELIABLE = 0.2
"""The share of their first attempts that may fail, at most."""


class Reliability:
    """The first attempts of all runs, and how many of them the API failed on."""

    __slots__ = ("attempts", "failures")

    def __init__(self) -> None:
        self.attempts = self.failures = 0

    def count(self, *, failed: bool) -> None:
        """Count the first attempt to start a run."""
        self.attempts += 1
        self.failures += failed


class Suspicion:
    """The failures of one run in a row.

    Args:
        reliability: of the API that starts it.
    """

    __slots__ = ("_attempts", "_failures", "_others", "_others_failed", "_since")

    def __init__(self, reliability: Reliability) -> None:
        self._others = reliability
        self._begin()

    def _begin(self) -> None:
        self._failures = 0
        self._since = asyncio.get_running_loop().time()
        self._attempts, self._others_failed = self._others.attempts, self._others.failures

    def failed(self) -> bool:
        """Count another failure of the run; return whether the run is to blame."""
        self._failures += 1
        attempts = self._others.attempts - self._attempts
        if attempts < OTHERS:
            return False
        if self._others.failures - self._others_failed > UNRELIABLE * attempts:
            self._begin()
            return False
        elapsed = asyncio.get_running_loop().time() - self._since
        return self._failures >= FAILURES and elapsed >= SECONDS
