"""xray.airflow.listener.listener: pauses, metrics, refusals and lost messages"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from airflow.observability.stats import Stats
from confluent_kafka import KafkaError

from tests.support import notification
from tests.support.deployment import Deployment, Logged, until
from tests.support.fake_api import FakeApi
from xray.airflow import notices
from xray.airflow.api import RunsClient
from xray.airflow.listener import kafka_clients
from xray.airflow.listener.consumer import NotificationConsumer
from xray.errors import TransientError


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
            await until(lambda: "no message is received" in logged.text, "pause")
            pauses.clear()
            await until(lambda: pauses, "pause of the partitions")
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
    monkeypatch.setattr("xray.airflow.listener.report.LAG_SECONDS", 0)
    dead = "xray.notifications.dead_lettered"
    deployment.send(notification("a"), notification("a"), notification("b"), b"bad", None)
    lags = [f"xray.notifications.lag.partition_{number}" for number in deployment.partitions()]

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 5, "commit")
            await until(
                lambda: all(gauges.get(name) == 0 for name in lags) and counters[dead],
                "metrics",
            )

    asyncio.run(go())
    assert counters.pop("xray.notifications.heartbeat") > 1
    assert counters == {
        "xray.notifications.received": 5,
        "xray.notifications.started": 2,
        "xray.notifications.duplicate": 1,
        "xray.notifications.skipped": 1,
        "xray.notifications.dead_lettered": 1,
    }
    assert gauges["xray.notifications.stalled.listen_1"] == 0
    assert gauges["xray.notifications.blocked.listen_1"] == 0
    assert gauges["xray.notifications.lag_unknown.listen_1"] == 0
    assert gauges["xray.notifications.paused"] == 0
    assert {name for name, _ in times} == {"xray.notifications.to_run"}
    assert all(0 <= took.total_seconds() < 30 for _, took in times)
    assert len(times) == 5


def test_a_dag_that_is_paused_at_the_start_starts_nothing_until_it_is_unpaused(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    gauges: dict[str, float] = {}
    monkeypatch.setattr(Stats, "gauge", lambda name, value: gauges.update({name: value}))
    monkeypatch.setattr("xray.airflow.listener.report.LAG_SECONDS", 0.2)
    api.dag["is_paused"] = True
    deployment.send(*(notification(str(number)) for number in range(300)))
    lags = [f"xray.notifications.lag.partition_{number}" for number in deployment.partitions()]

    async def go() -> None:
        async with deployment.running(batch=10):
            await until(lambda: "Partitions assigned" in logged.text, "partitions")
            with pytest.raises(AssertionError):
                await until(lambda: api.runs, "run", seconds=2)
            await until(lambda: sum(gauges.get(name, 0) for name in lags) == 300, "lag")
            assert gauges["xray.notifications.paused"] == 1
            api.dag["is_paused"] = False
            await until(lambda: deployment.committed() == 300, "commit", seconds=60)

    with Logged() as logged:
        asyncio.run(go())
    assert len(api.runs) == 300


def test_a_dag_that_may_not_be_read_does_not_stop_the_listener(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> bool:
        raise TransientError("The account may not read the DAG.")

    monkeypatch.setattr(RunsClient, "is_paused", refused)
    deployment.send(notification("a"))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 1, "commit")

    asyncio.run(go())


def test_the_log_has_one_line_a_minute_while_all_is_well(
    deployment: Deployment, api: FakeApi
) -> None:
    async def go() -> None:
        async with deployment.running():
            for number in range(5):
                deployment.send(notification(str(number)))
                await until(lambda n=number: deployment.committed() == n + 1, "commit")

    with Logged() as logged:
        asyncio.run(go())
    lines = [line for line in logged.text.splitlines() if "runs started" in line]
    assert len(lines) == 2, "the first message at once, and the rest at the end"
    assert sum(int(line.split()[0]) for line in lines) == 5


def test_it_recovers_with_another_consumer_when_kafka_no_longer_refuses_it(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    gauges: list[float] = []
    refusals = [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED]
    new_consumer, consumers = kafka_clients.new_consumer, []

    def refused(topic: str, on_error: Any) -> Any:
        consumers.append(new_consumer(topic, on_error))
        if refusals:
            on_error(KafkaError(refusals.pop()))
        return consumers[-1]

    def gauge(name: str, value: float) -> None:
        if name == "xray.notifications.blocked.listen_1":
            gauges.append(value)

    monkeypatch.setattr(kafka_clients, "new_consumer", refused)
    monkeypatch.setattr(Stats, "gauge", gauge)
    monkeypatch.setattr(notices, "tell", lambda *_, sentence, **__: told.append(sentence))
    deployment.send(notification("a"))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 1, "commit")
            await until(lambda: gauges[-1] == 0, "gauge")

    with Logged() as logged:
        asyncio.run(go())
    assert len(consumers) == 3
    assert max(gauges) > 0
    assert "Kafka refuses the connection xray_kafka" in logged.text
    assert "Working again" in logged.text
    assert len(told) == 1
    assert len(api.runs) == 1


@pytest.fixture
def keeps_little(real: bool) -> None:
    """The embedded broker keeps 5 MB of a partition, and removes what came before."""
    if real:
        pytest.skip("Apache Kafka keeps all messages here; tests/real/test_faults.py removes some.")


@pytest.mark.usefixtures("keeps_little")
def test_messages_that_were_removed_unread_are_counted_and_looked_for(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    counters: Counter[str] = Counter()
    monkeypatch.setattr(Stats, "incr", lambda name, count: counters.update({name: count}))

    async def listen(committed: int) -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == committed, "commit", seconds=60)

    deployment.send(notification("first"), partition=0)
    asyncio.run(listen(1))
    big = [notification(f"big-{number}").ljust(900_000) for number in range(12)]
    deployment.send(*big, partition=0)
    with Logged() as logged:
        asyncio.run(listen(13))
    (run_id,) = [run for run, dag in api.dags.items() if dag == "xray_reconcile"]
    left = len([key for key in api.object_keys() if key.startswith("big-")])
    lost = 12 - left
    assert 0 < left < 12
    assert run_id == f"xray_lost__{deployment.topic}.0.1-{1 + lost}"
    assert counters["xray.notifications.lost"] == lost
    assert f"Kafka removed {lost} messages of partition 0" in logged.text
    conf = api.runs[run_id]
    since, until_time = (datetime.fromisoformat(conf[name]) for name in ("since", "until"))
    assert timedelta(hours=1) <= until_time - since < timedelta(hours=1, minutes=2)

    deployment.send(notification("last"), partition=0)
    asyncio.run(listen(14))
    assert counters["xray.notifications.lost"] == lost, "each is said once"


@pytest.mark.usefixtures("keeps_little")
def test_lost_messages_hold_back_the_offset_until_their_objects_are_looked_for(
    deployment: Deployment, api: FakeApi
) -> None:
    deployment.send(notification("first"), partition=0)

    async def before() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 1, "commit")

    async def after() -> None:
        async with deployment.running():
            await until(lambda: len(api.refuse) < 9_990, "calls of the API")
            assert deployment.committed() == 1
            with api.lock:
                api.refuse.clear()
            await until(lambda: deployment.committed() == 13, "commit", seconds=60)

    asyncio.run(before())
    api.refuse = [503] * 10_000
    big = [notification(f"big-{number}").ljust(900_000) for number in range(12)]
    deployment.send(*big, partition=0)
    asyncio.run(after())
    assert "xray_reconcile" in api.dags.values()
