"""xray.airflow.blocked: the note and the notice of a task that waits for a person"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.fake_api import FakeApi
from xray.airflow import blocked
from xray.airflow.blocked import tells_if_blocked
from xray.errors import BlockedError, ForbiddenError, TransientError

FORBIDDEN = ForbiddenError("The store forbids reading from xray-data-in: check the permissions.")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The notices."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(
        blocked.notices, "tell", lambda event, **facts: sent.append(facts | {"event": event})
    )
    return sent


def task(try_number: int) -> Any:
    """A try of the task *fetch*."""
    return SimpleNamespace(
        run_id="xray__1", dag_id="xray_case", task_id="fetch", try_number=try_number, max_tries=6
    )


@pytest.fixture
def run(api: FakeApi, connected: Any) -> FakeApi:
    """An API server that has the run."""
    api.runs["xray__1"] = {}
    return api


def test_people_are_told_at_the_first_failure(run: FakeApi, told: list[dict[str, Any]]) -> None:
    blocked.tell(task(1), FORBIDDEN)
    assert run.notes["xray__1"].startswith(f"fetch waits until this is mended: {FORBIDDEN}")
    assert "clear the task" in run.notes["xray__1"]
    assert told == [
        {
            "event": "blocked",
            "dag_id": "xray_case",
            "run_id": "xray__1",
            "sentence": str(FORBIDDEN),
        }
    ]


def test_a_passing_failure_is_not_told(run: FakeApi, told: list[dict[str, Any]]) -> None:
    blocked.tell(task(1), TransientError("The store is not available."))
    assert run.notes == {}
    assert told == []


def test_the_note_goes_when_the_task_ends_well(run: FakeApi, told: list[dict[str, Any]]) -> None:
    blocked.tell(task(1), FORBIDDEN)
    blocked.withdraw(task(2))
    assert run.notes["xray__1"] == "fetch has waited, and goes on."
    run.notes["xray__1"] = "Quarantined."
    blocked.withdraw(task(2))
    assert run.notes["xray__1"] == "Quarantined.", "another note stays"


def test_a_first_try_asks_the_api_for_nothing(run: FakeApi) -> None:
    blocked.withdraw(task(1))
    assert run.logins == 0


def test_a_job_that_waits_tells_people(
    told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocked, "get_current_context", lambda: {"ti": task(1)})

    @tells_if_blocked()
    def job(error: Exception | None) -> str:
        if error:
            raise error
        return "done"

    assert job(None) == "done"
    with pytest.raises(TransientError):
        job(TransientError("Later."))
    assert told == []
    with pytest.raises(BlockedError):
        job(FORBIDDEN)
    assert [one["sentence"] for one in told] == [str(FORBIDDEN)]
