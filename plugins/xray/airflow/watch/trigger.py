"""The trigger behind the sensor: it measures once a minute until it is cancelled."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

from xray.airflow import config, connections, notices
from xray.airflow.api import RunsClient
from xray.airflow.notices import Event
from xray.airflow.unexpected import without_messages
from xray.airflow.watch import cases, metrics, overdue, stored
from xray.case import Buckets
from xray.case.manifest import RELEASE, REVIEW
from xray.errors import BlockedError, XrayError
from xray.storage import ObjectStore

log = logging.getLogger(__name__)

SECONDS = 60.0
"""From one round to the next."""
LOG_SECONDS = 3600.0
"""How often the log says that all is well."""
PROBLEM_SECONDS = 900.0
"""How often the log repeats a problem."""
NO_RUN = ("xray_watch", "")
"""The DAG and the run to link to, where the trigger knows no task: in tests."""

Gauges = dict[str, float]


class WatchTrigger(BaseTrigger):
    """Measures what waits and what is overdue until it is cancelled; it never fires.

    It outlives outages: what cannot be measured is tried again in the next round.

    Args:
        seconds: from one round to the next.
        unknown: arguments in the database that another version has written; they are ignored.
    """

    def __init__(self, seconds: float = SECONDS, **unknown: Any) -> None:
        super().__init__()
        if unknown:
            log.warning("Arguments of another version are ignored: %s", ", ".join(sorted(unknown)))
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the path of the class and every argument, as Airflow stores them."""
        return "xray.airflow.watch.trigger.WatchTrigger", {"seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Measure until cancelled."""
        own = self.task_instance
        watch = Watch(*(own.dag_id, own.run_id) if own else NO_RUN)
        try:
            with without_messages():
                while True:
                    started = time.monotonic()
                    await watch.turn()
                    await asyncio.sleep(max(0.0, started + self.seconds - time.monotonic()))
        finally:
            await watch.close()
        yield TriggerEvent(None)  # Never reached: it makes this an asynchronous generator.


class Watch:
    """The rounds of the watch.

    Args:
        dag_id, run_id: the watch's own run; nothing is measured while this DAG is paused.
    """

    def __init__(self, dag_id: str, run_id: str) -> None:
        self._dag_id, self._run_id = dag_id, run_id
        self._client: RunsClient | None = None
        self._store: ObjectStore | None = None
        self._overdue: overdue.Overdue | None = None
        self._problems: dict[str, tuple[str, float]] = {}
        """What could not be measured: why, and when that was last logged."""
        self._logged_at = float("-inf")

    async def turn(self) -> None:
        """Measure everything once. Nothing that fails is raised."""
        if self._problems:
            # The settings of the connections may have changed.
            await self.close()
        paused = False

        async def look() -> Gauges:
            nonlocal paused
            paused = await (await self._api()).is_paused(self._dag_id)
            return {}

        await self._measure("the pause of the watch", look)
        if paused:
            return
        metrics.heartbeat()
        values: Gauges = {}
        for part, measure in {
            "the reviews that wait": lambda: self._listed(stored.waiting, REVIEW),
            "the releases that wait": lambda: self._listed(stored.waiting, RELEASE),
            "the staging bucket": lambda: self._listed(stored.staging),
            "the checkpoints": lambda: self._listed(stored.checkpoint),
            "the active cases": self._active_cases,
            "the last reconcile": self._reconcile,
        }.items():
            values |= await self._measure(part, measure)
        if not self._problems and time.monotonic() - self._logged_at >= LOG_SECONDS:
            log.info("Measured: %s", ", ".join(f"{k}={v:.0f}" for k, v in values.items()))
            self._logged_at = time.monotonic()

    async def close(self) -> None:
        """Close the connections. The next round makes new ones."""
        if self._client:
            await self._client.__aexit__(None, None, None)
        self._client = self._store = None

    async def _measure(self, part: str, measure: Callable[[], Awaitable[Gauges]]) -> Gauges:
        """Return and send what a part measures; nothing if it fails."""
        try:
            values = await measure()
            metrics.gauges(values)
        except Exception as error:
            await self._complain(part, error)
            return {}
        if self._problems.pop(part, None):
            log.info("Measuring %s again.", part)
        return values

    async def _complain(self, part: str, error: Exception) -> None:
        """Log a problem, unless that was done lately; tell people of one that they have to mend."""
        # The message of an unexpected error may quote an object key.
        reason = str(error) if isinstance(error, XrayError) else f"{type(error).__name__}."
        known, logged_at = self._problems.get(part, ("", 0.0))
        if reason != known or time.monotonic() - logged_at >= PROBLEM_SECONDS:
            logged_at = time.monotonic()
            log.warning("Not measured, and tried again every minute: %s. %s", part, reason)
        self._problems[part] = reason, logged_at
        if isinstance(error, BlockedError):
            await self._tell(Event.BLOCKED, self._dag_id, self._run_id, reason)

    async def _api(self) -> RunsClient:
        if self._client is None:
            connection = await BaseHook.aget_connection(connections.API_CONNECTION)
            self._client = RunsClient.from_connection(connection)
        return self._client

    async def _listed(self, measure: Callable[..., Gauges], *arguments: str) -> Gauges:
        """Return what is measured in the store, in a thread: the client of the store blocks."""

        def go() -> Gauges:
            if self._store is None:
                self._store = connections.object_store()
            now = datetime.now(UTC)
            return measure(self._store, Buckets(config.bucket()), *arguments, now)

        return await asyncio.to_thread(go)

    async def _active_cases(self) -> Gauges:
        minutes, now = config.case_minutes(), datetime.now(UTC)
        active = await cases.active_cases(await self._api(), now, minutes)
        if self._overdue is None:
            told_until = await asyncio.to_thread(overdue.read_told_until)
            self._overdue = overdue.Overdue(told_until)
        due = self._overdue.due(active, minutes)
        if due:
            # Before the notices, so that none is sent twice.
            await asyncio.to_thread(overdue.write_told_until, self._overdue.told_until)
        for notice in due:
            run_id, facts = notice.run_id, notice.facts
            await self._tell(Event.OVERDUE, config.CASE_DAG, run_id, notice.sentence, **facts)
        return active.gauges()

    async def _reconcile(self) -> Gauges:
        return await cases.reconcile_age(await self._api(), datetime.now(UTC))

    async def _tell(
        self, event: Event, dag_id: str, run_id: str, sentence: str, **facts: Any
    ) -> None:
        """Tell people, in a thread: notifiers block."""
        await asyncio.to_thread(
            notices.tell, event, dag_id=dag_id, run_id=run_id, sentence=sentence, **facts
        )
