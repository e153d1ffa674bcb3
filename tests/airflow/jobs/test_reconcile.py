"""xray.airflow.jobs.reconcile: which objects a reconciliation asks for"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from xray.airflow import store_check
from xray.airflow.jobs import reconcile
from xray.airflow.jobs.backfill import BackfillRequest, Only
from xray.storage import ListedObject


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[BackfillRequest]:
    """The requests of the task, which starts nothing here."""
    made: list[BackfillRequest] = []

    def run_backfill(request: BackfillRequest, context: Any) -> dict[str, Any]:
        made.append(request)
        return {"objects": 0}

    monkeypatch.setattr(reconcile, "run_backfill", run_backfill)
    params = {"bucket": "xray-data-in", "hours": 48, "minutes": 30, "dry_run": True}
    monkeypatch.setattr(reconcile, "get_current_context", lambda: {"params": params})
    return made


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
    params = {"bucket": "b", "hours": 48, "minutes": 30, "dry_run": False}
    monkeypatch.setattr(reconcile, "get_current_context", lambda: {"params": params})
    found = {"b-audit": {"create_once": True}}
    asked = []
    monkeypatch.setattr(store_check, "check", lambda bucket: asked.append(bucket) or found)
    assert reconcile.start_missed.function() == {"objects": 0, "conditions": found}
    assert asked == ["b"]
