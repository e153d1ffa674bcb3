"""xray.airflow.listener.listener: pauses and metrics"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from airflow.observability.stats import Stats

from tests.support import notification
from tests.support.deployment import Deployment, Logged, until
from tests.support.fake_api import FakeApi
from xray.airflow.listener.consumer import NotificationConsumer


def test_pausing_the_listener_stops_the_consumer(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    pause, pauses = NotificationConsumer.pause, []

    async def counted(self: NotificationConsumer) -> None:
        pauses.append(await pause(self))

    monkeypatch.setattr(NotificationConsumer, "pause", counted)

    async def go() -> None:
        async with deployment.running():
            deployment.send(notification("before"))
            await until(lambda: deployment.committed() == 1, "commit")
            api.dag["is_paused"] = True
            await until(lambda: "no message is received" in logged.text and pauses, "pause")
            deployment.send(notification("while"))
            with pytest.raises(AssertionError):
                await until(lambda: len(api.runs) > 1, "run", seconds=1)
            api.dag["is_paused"] = False
            await until(lambda: deployment.committed() == 2, "commit")

    with Logged() as logged:
        asyncio.run(go())
    assert len(api.runs) == 2


def test_the_metrics_count_the_messages_and_their_runs(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters: Counter[str] = Counter()
    gauges: dict[str, float] = {}
    times: list[Any] = []
    monkeypatch.setattr(Stats, "incr", lambda name, count: counters.update({name: count}))
    monkeypatch.setattr(Stats, "gauge", lambda name, value: gauges.update({name: value}))
    monkeypatch.setattr(Stats, "timing", lambda name, took: times.append((name, took)))
    monkeypatch.setattr("xray.airflow.listener.listener.LAG_SECONDS", 0)
    deployment.send(notification("a"), notification("a"), notification("b"), b"bad", None)

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 5, "commit")
            await until(
                lambda: gauges.get("xray.notifications.lag") == 0 and sum(counters.values()) == 10,
                "metrics",
            )

    asyncio.run(go())
    assert counters == {
        "xray.notifications.received": 5,
        "xray.notifications.started": 2,
        "xray.notifications.duplicate": 1,
        "xray.notifications.skipped": 1,
        "xray.notifications.dead_lettered": 1,
    }
    assert gauges["xray.notifications.stalled"] == 0
    assert {name for name, _ in times} == {"xray.notifications.to_run"}
    assert all(0 <= took.total_seconds() < 30 for _, took in times)
    assert len(times) == 5
