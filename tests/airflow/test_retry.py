"""xray.airflow.retry"""

from __future__ import annotations

import pytest
from airflow.sdk import RetryAction

from xray.airflow.retry import (
    LONGEST_BLOCKED_PAUSE,
    LONGEST_PAUSE,
    RETRIES,
    KindRetryPolicy,
)
from xray.errors import (
    BlockedError,
    ForbiddenError,
    ImageError,
    NotFoundError,
    ObjectError,
    SettingsError,
    TransientError,
)

POLICY = KindRetryPolicy()


@pytest.mark.parametrize("kind", [ImageError, ObjectError, SettingsError])
def test_a_permanent_failure_is_not_retried(kind: type[Exception]) -> None:
    decision = POLICY.evaluate(kind("Upload it again."), 1, RETRIES)
    assert (decision.action, decision.reason) == (RetryAction.FAIL, "Upload it again.")


@pytest.mark.parametrize("kind", [TransientError, NotFoundError, KeyError, TimeoutError])
def test_any_other_failure_is_retried(kind: type[Exception]) -> None:
    decision = POLICY.evaluate(kind("Ada Ashgrove"), 1, RETRIES)
    assert decision.action is RetryAction.RETRY
    if not issubclass(kind, TransientError):
        assert "Ada" not in str(decision.reason)


def pauses(
    try_number: int, max_tries: int = RETRIES, kind: type[Exception] = TransientError
) -> list[float]:
    """Return the pauses of 200 cases, sorted."""
    decisions = [POLICY.evaluate(kind(""), try_number, max_tries) for _ in range(200)]
    return sorted(d.retry_delay.total_seconds() for d in decisions if d.retry_delay)


def test_the_pause_doubles_with_jitter() -> None:
    for nth, usual in enumerate((10, 20, 40, 80, 160, LONGEST_PAUSE), 1):
        found = pauses(nth)
        assert 0.75 * usual <= found[0] < 0.85 * usual
        assert 1.15 * usual < found[-1] <= 1.25 * usual


@pytest.mark.parametrize("kind", [BlockedError, ForbiddenError])
def test_the_pauses_are_long_while_a_person_has_to_mend_the_deployment(
    kind: type[Exception],
) -> None:
    shortest = 0.0
    for nth, minutes in enumerate((5, 10, 20, 40, 80, 160), 1):
        found = pauses(nth, kind=kind)
        assert 0.75 * minutes * 60 <= found[0] < 0.85 * minutes * 60
        assert 1.15 * minutes * 60 < found[-1] <= 1.25 * minutes * 60
        shortest += found[0]
    assert shortest > 3.9 * 3600, "an outage of hours is survived"
    assert max(pauses(9, 20, kind=kind)) <= 1.25 * LONGEST_BLOCKED_PAUSE


def test_the_pauses_of_a_cleared_task_start_again() -> None:
    # Cleared after its first try: Airflow keeps counting from there, and raises the maximum.
    assert max(pauses(2, 1 + RETRIES)) <= 12.5
    assert max(pauses(9, 8 + RETRIES)) <= 12.5


def test_the_pause_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__XRAY__RETRY_SECONDS", "2")
    assert 1.5 <= pauses(1)[0] <= pauses(1)[-1] <= 2.5
