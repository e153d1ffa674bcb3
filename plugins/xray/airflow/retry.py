"""The retry policy of all tasks: the kind of a failure decides whether the task is retried."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from airflow.sdk import RetryDecision, RetryPolicy

from xray.airflow import config
from xray.case.ending import describe
from xray.errors import BlockedError, PermanentError

RETRIES = config.retries()
LONGEST_PAUSE = 300.0
"""Seconds between two tries, at most."""
BLOCKED_FACTOR = 30.0
"""How much longer the pauses are while a person has to mend the deployment. With the default
options, the six retries then come after 5, 10, 20, 40, 80 and 160 minutes: five hours in all."""
LONGEST_BLOCKED_PAUSE = 3 * 3600.0
"""Seconds between two tries meanwhile, at most."""


class KindRetryPolicy(RetryPolicy):
    """A permanent failure ends the case at once; after any other failure, the task is retried.

    While the deployment is blocked, the pauses are minutes to hours, and not seconds to minutes.
    Airflow does not let a policy retry more often than ``[xray] retries`` says.

    The pause starts at ``[xray] retry_seconds`` (10 by default) and doubles, with jitter. Airflow's
    own back-off derives its jitter from the logical date of the run. Cases have none, so after an
    outage of the store all of them would be retried at the same moment.
    """

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Any = None
    ) -> RetryDecision:
        """Return the decision, with the reason in one sentence that names no patient."""
        reason, _ = describe(exception)
        if isinstance(exception, PermanentError):
            return RetryDecision.fail(reason)
        # Clearing a task keeps the count of its tries, and raises their maximum by the retries.
        nth = max(1, try_number - (max_tries - RETRIES))
        pause = config.retry_seconds() * 2 ** (nth - 1)
        if isinstance(exception, BlockedError):
            pause = min(LONGEST_BLOCKED_PAUSE, BLOCKED_FACTOR * pause)
        else:
            pause = min(LONGEST_PAUSE, pause)
        jitter = random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        return RetryDecision.retry(timedelta(seconds=pause * jitter), reason)


TASK_DEFAULTS: dict[str, Any] = {
    "owner": "xray",
    "retries": RETRIES,
    "retry_policy": KindRetryPolicy(),
    # If the worker died, there is no exception for the policy, and these apply.
    "retry_delay": timedelta(seconds=config.retry_seconds()),
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(seconds=LONGEST_PAUSE),
}
"""The default arguments of all tasks of this package."""
