"""xray.airflow.jobs.reconcile: which objects a reconciliation asks for"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from xray.airflow import store_check
from xray.airflow.jobs import reconcile
from xray.airflow.jobs.backfill import BackfillRequest, Only
from xray.errors import SettingsError
from xray.storage import ListedObject


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[BackfillRequest]:
    """The requests of the task, which starts nothing here."""
    made: list[BackfillRequest] = []

    def run_backfill(request: BackfillRequest, context: Any) -> dict[str, Any]:
        made.append(request)
        return {"objects": 0}

    monkeypatch.setattr(reconcile, "run_backfill", run_backfill)
    use_params(monkeypatch)
    return made


def use_params(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Run the task with its default params, except for ``changes``."""
    usual = {"bucket": "xray-data-in", "hours": 48, "minutes": 30, "dry_run": True}
    params = {**usual, "since": None, "until": None, **changes}
    monkeypatch.setattr(reconcile, "get_current_context", lambda: {"params": params})


def test_it_asks_for_recent_objects_without_a_trace(requests: list[BackfillRequest]) -> None:
    assert reconcile.start_missed.function() == {"objects": 0, "conditions": None}
    (request,) = requests
    assert (request.only, request.origin, request.dry_run) == (Only.NEVER_SEEN, "reconcile", True)
    ages = {timedelta(minutes=29): False, timedelta(hours=1): True, timedelta(hours=49): False}
    for age, included in ages.items():
        entry = ListedObject("a.jpeg", "etag", 1, datetime.now(UTC) - age)
        assert request.includes(entry) is included


def test_it_says_which_conditions_the_store_honours(
    requests: list[BackfillRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_params(monkeypatch, bucket="b", dry_run=False)
    found = {"b-audit": {"create_once": True}}
    asked = []
    monkeypatch.setattr(store_check, "check", lambda bucket: asked.append(bucket) or found)
    assert reconcile.start_missed.function() == {"objects": 0, "conditions": found}
    assert asked == ["b"]


def test_it_asks_for_the_objects_of_a_given_time(
    requests: list[BackfillRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_params(monkeypatch, since="2026-03-01T10:00:00Z", until="2026-03-01T12:00:00+01:00")
    reconcile.start_missed.function()
    (request,) = requests
    assert request.since == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert request.until == datetime(2026, 3, 1, 11, tzinfo=UTC)


def test_one_end_of_the_time_may_be_given(
    requests: list[BackfillRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_params(monkeypatch, since="2026-03-01T10:00:00")
    reconcile.start_missed.function()
    (request,) = requests
    assert request.since == datetime(2026, 3, 1, 10, tzinfo=UTC)
    assert request.until is not None
    assert abs(datetime.now(UTC) - timedelta(minutes=30) - request.until) < timedelta(minutes=1)


def test_a_bucket_of_results_is_refused(
    requests: list[BackfillRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    use_params(monkeypatch, bucket="xray-data-in-processed")
    with pytest.raises(SettingsError, match="ends in -processed"):
        reconcile.start_missed.function()


@pytest.mark.parametrize(
    ("since", "until", "said"),
    [
        ("yesterday", None, "'yesterday' is not a time"),
        ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00Z", "since .* is not before until"),
    ],
)
def test_a_wrong_time_is_refused(
    requests: list[BackfillRequest],
    monkeypatch: pytest.MonkeyPatch,
    since: str,
    until: str | None,
    said: str,
) -> None:
    use_params(monkeypatch, since=since, until=until)
    with pytest.raises(SettingsError, match=said):
        reconcile.start_missed.function()
    assert requests == []
