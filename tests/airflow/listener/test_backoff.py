"""xray.airflow.listener.backoff"""

from __future__ import annotations

import asyncio
import logging

import pytest

from xray.airflow.listener import backoff
from xray.airflow.listener.backoff import FIRST_PAUSE, LONGEST_PAUSE, Backoff
from xray.errors import TransientError


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, none of which is waited for."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(backoff.asyncio, "sleep", sleep)
    return waited


def test_the_pause_doubles_up_to_the_longest_with_jitter(pauses: list[float]) -> None:
    waiting = Backoff()
    for failures, longest in ((0, FIRST_PAUSE), (1, 2 * FIRST_PAUSE), (100, LONGEST_PAUSE)):
        pauses.clear()
        for _ in range(100):
            asyncio.run(waiting.wait(TransientError("The API is down."), failures))
        assert longest / 2 <= min(pauses) < 0.6 * longest
        assert 0.9 * longest < max(pauses) <= longest


def test_the_same_error_is_logged_once(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    waiting = Backoff()
    for error in ("The API is down.", "The API is down.", "The login is refused."):
        asyncio.run(waiting.wait(TransientError(error), 0))
    assert [record.getMessage() for record in caplog.records] == [
        "Trying again, nothing is lost: The API is down.",
        "Trying again, nothing is lost: The login is refused.",
    ]


def test_a_service_that_fails_now_and_then_does_not_fill_the_log(
    pauses: list[float], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    now = [100.0]
    monkeypatch.setattr(backoff.time, "monotonic", lambda: now[0])
    waiting = Backoff()
    for _ in range(100):
        asyncio.run(waiting.wait(TransientError("The API fails."), 0))
        waiting.succeeded()
        now[0] += 0.9
    assert [record.getMessage() for record in caplog.records] == [
        "Trying again, nothing is lost: The API fails.",
        "Working again after 0 s.",
        "Trying again, nothing is lost: The API fails. (66 more since the last line)",
        "Working again after 0 s.",
    ]


def test_it_measures_how_long_the_service_fails(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    waiting = Backoff()
    assert waiting.seconds == 0
    with caplog.at_level(logging.INFO):
        waiting.succeeded()
        assert caplog.records == []
        asyncio.run(waiting.wait(TransientError("The API is down."), 0))
        assert waiting.seconds > 0
        waiting.succeeded()
    assert waiting.seconds == 0
    assert "Working again" in caplog.text
