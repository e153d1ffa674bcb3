"""xray.airflow.watch.cases: what the API says of active and overdue cases"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from tests.airflow.watch.conftest import WatchedApi
from xray.airflow.api import RunsClient
from xray.airflow.watch import cases
from xray.errors import TransientError

T = TypeVar("T")


def ask(api: WatchedApi, request: Callable[[RunsClient], Awaitable[T]]) -> T:
    async def go() -> T:
        async with RunsClient(api.url, "xray", "right") as client:
            return await request(client)

    return asyncio.run(go())


def active(api: WatchedApi) -> cases.Cases:
    return ask(api, lambda client: cases.active_cases(client, datetime.now(UTC), 60))


def test_cases_older_than_the_limit_are_overdue(api: WatchedApi) -> None:
    api.add("young", 59)
    api.add("old", 61)
    api.add("waiting", 90, state="queued")
    api.add("ended", 90, state="success")
    api.add("other", 90, dag_id="xray_review")
    found = active(api)
    assert found.gauges() == {"cases.active": 3, "cases.overdue": 2}
    assert found.complete
    assert [(case.run_id, case.started) for case in found.listed] == [
        ("waiting", False),
        ("old", True),
    ]


def test_a_case_that_was_run_again_counts_from_then(api: WatchedApi) -> None:
    api.add("again", 10_000, queued_at=(datetime.now(UTC) - timedelta(minutes=5)).isoformat())
    api.add("long ago", 10_000, queued_at=None)
    found = active(api)
    assert (found.active, found.overdue) == (2, 1)
    assert [case.run_id for case in found.listed] == ["long ago"]


def test_a_flood_is_counted_and_not_listed(api: WatchedApi) -> None:
    for number in range(3 * cases.MOST_LISTED):
        api.add(f"xray__{number}", 100 + number)
    found = active(api)
    assert found.overdue == 3 * cases.MOST_LISTED
    assert len(found.listed) == cases.MOST_LISTED
    assert not found.complete
    assert len(api.asked) == 2


def test_the_age_of_the_last_reconcile(api: WatchedApi) -> None:
    now = datetime.now(UTC)

    def age() -> dict[str, float]:
        return ask(api, lambda client: cases.reconcile_age(client, now))

    assert age() == {}
    for minutes, state in (90, "success"), (60, "success"), (1, "failed"):
        end = (now - timedelta(minutes=minutes)).isoformat()
        api.add(f"r{minutes}", 100, dag_id="xray_reconcile", state=state, end_date=end)
    assert age() == {"reconcile.age": 3600}


def test_a_missing_right_is_named(api: WatchedApi) -> None:
    api.fails = 403
    with pytest.raises(TransientError, match="list runs of xray_reconcile"):
        ask(api, lambda client: cases.reconcile_age(client, datetime.now(UTC)))
