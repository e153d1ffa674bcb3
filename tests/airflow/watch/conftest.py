"""An API server with runs of any age, and what the watch sends and tells."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.fake_api import FakeApi
from xray.airflow import notices
from xray.airflow.watch import metrics


class WatchedApi(FakeApi):
    """An API server that knows when its runs were queued."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, Any]] = []
        """The runs, as the API describes them."""
        self.fails = 0
        """The HTTP status of all answers; 0 for none."""
        self.asked: list[str] = []
        """The paths of the requests."""

    def add(
        self, run_id: str, minutes: float, *, now: datetime | None = None, **facts: Any
    ) -> None:
        """Add a run of ``xray_case`` that was queued some minutes before now."""
        at = ((now or datetime.now(UTC)) - timedelta(minutes=minutes)).isoformat()
        run = {"dag_run_id": run_id, "dag_id": "xray_case", "state": "running", "end_date": None}
        self.found.append({**run, "run_after": at, "queued_at": at, **facts})

    def read(self, path: str) -> tuple[int, Any]:
        """Return the HTTP status and the JSON of the response to a GET."""
        url = urlsplit(path)
        self.asked.append(path)
        if self.fails:
            return self.fails, {}
        if not url.path.endswith("/dagRuns"):
            return super().read(path)
        query, dag_id = parse_qs(url.query), url.path.split("/")[-2]
        (before,) = query.get("run_after_lte", ["9"])
        found = [
            run
            for run in self.found
            if run["dag_id"] == dag_id
            and run["state"] in query["state"]
            and run["run_after"] <= before
        ]
        (order,) = query.get("order_by", ["run_after"])
        found.sort(key=lambda run: run[order.strip("-")], reverse=order.startswith("-"))
        return 200, {"total_entries": len(found), "dag_runs": found[: int(query["limit"][0])]}


@pytest.fixture
def api() -> Iterator[WatchedApi]:
    """An API server of the test's own."""
    api = WatchedApi()
    yield api
    api.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """What was sent: for each metric, its values."""
    values: dict[str, list[float]] = {}

    class Stats:
        @staticmethod
        def gauge(name: str, value: float) -> None:
            values.setdefault(name, []).append(value)

        @staticmethod
        def incr(name: str) -> None:
            values.setdefault(name, []).append(1)

    monkeypatch.setattr(metrics, "Stats", Stats)
    return values


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What people were told."""
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(
        notices, "tell", lambda event, **facts: said.append({"event": event.value, **facts})
    )
    return said
