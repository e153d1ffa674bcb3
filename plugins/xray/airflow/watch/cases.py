"""What Airflow's API says: which cases are active and overdue, and when a job last succeeded.

A case counts from the moment at which its run was queued, or queued again after somebody cleared
it. The API cannot filter by that time. It can by ``run_after``, which is never later than the
first queueing, and so selects a few runs too many. These are sorted out here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from xray.airflow import config
from xray.airflow.api import ACTIVE_STATES, RunsClient

MOST_LISTED = 100
"""Cases that are looked at one by one, at most: the largest page that the API gives by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OverdueCase:
    """A run of ``xray_case`` that is not through."""

    run_id: str
    since: datetime
    """When it was queued."""
    started: bool
    """Whether it is running, and not queued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cases:
    """The active cases."""

    active: int
    overdue: int
    """How many of them are overdue. If there are more than :data:`MOST_LISTED`, those that were run
    again count from their first queueing."""
    listed: tuple[OverdueCase, ...]
    """The overdue ones, or some of them if there are more than :data:`MOST_LISTED`."""
    cutoff: datetime
    """A case that was queued before this time is overdue."""

    @property
    def complete(self) -> bool:
        """Whether all overdue cases are listed."""
        return self.overdue <= len(self.listed)

    def gauges(self) -> dict[str, float]:
        """Return the gauges, by their names without the prefix."""
        return {"cases.active": self.active, "cases.overdue": self.overdue}


async def active_cases(client: RunsClient, now: datetime, minutes: float) -> Cases:
    """Return the cases that are active, and those of them that are overdue.

    Args:
        client: the account of the connection ``xray_api``.
        now: the present time.
        minutes: how long a case may take.

    Raises:
        TransientError: the API does not answer, or refuses the request.
    """
    cutoff = now - timedelta(minutes=minutes)
    active = await client.count(config.CASE_DAG, state=ACTIVE_STATES)
    number, runs = await client.runs(
        config.CASE_DAG,
        state=ACTIVE_STATES,
        run_after_lte=cutoff.isoformat(),
        order_by="run_after",
        limit=str(MOST_LISTED),
    )
    listed = [
        OverdueCase(
            run_id=run["dag_run_id"], since=_queued_at(run), started=run["state"] == "running"
        )
        for run in runs
    ]
    overdue = tuple(case for case in listed if case.since <= cutoff)
    return Cases(
        active=active,
        overdue=number - (len(listed) - len(overdue)),
        listed=overdue,
        cutoff=cutoff,
    )


async def reconcile_age(client: RunsClient, now: datetime) -> dict[str, float]:
    """Return the seconds since the last success of ``xray_reconcile``; nothing if there is none.

    Raises:
        TransientError: the API does not answer, or refuses the request.
    """
    _, runs = await client.runs(
        config.RECONCILE_DAG, state="success", order_by="-end_date", limit="1"
    )
    if not runs:
        return {}
    age = now - datetime.fromisoformat(runs[0]["end_date"])
    return {"reconcile.age": max(0.0, age.total_seconds())}


def _queued_at(run: dict[str, Any]) -> datetime:
    times = [run.get("queued_at"), run["run_after"]]
    return max(datetime.fromisoformat(time) for time in times if time)
