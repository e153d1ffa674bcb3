"""Whether a failed task is tried again, and when: the kind of the failure decides."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

from xray.airflow import config
from xray.case.ending import describe
from xray.errors import PermanentError

RETRIES = config.retries()
LONGEST = 300.0
"""Seconds between two tries, at most."""


class ByKind(RetryPolicy):
    """A permanent failure ends the case at once; anything else is tried again.

    The pause doubles from ``[xray] retry_seconds`` (10 by default) on, with jitter. Airflow's own
    back-off has a jitter that depends on a run's logical date, which a case has not: a store's
    outage would be followed by all cases at the same moment.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Any = None
    ) -> RetryDecision:
        """Decide, with the reason in one sentence that names no patient."""
        reason, _ = describe(exception)
        if isinstance(exception, PermanentError):
            return RetryDecision.fail(reason)
        # Tries are counted on when a task is cleared, and so is their maximum.
        nth = max(1, try_number - (max_tries - RETRIES))
        pause = min(LONGEST, config.retry_seconds() * 2 ** (nth - 1))
        jitter = random.uniform(0.75, 1.25)  # noqa: S311 - no secret hangs on it
        return RetryDecision.retry(timedelta(seconds=pause * jitter), reason)


TASK_DEFAULTS: dict[str, Any] = {
    "owner": "xray",
    "retries": RETRIES,
    "retry_policy": ByKind(),
    # Where there is no exception to go by, as the worker died.
    "retry_delay": timedelta(seconds=config.retry_seconds()),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(seconds=LONGEST),
}
"""What all tasks of this package have in common."""
