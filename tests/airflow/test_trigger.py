"""xray.airflow.trigger: on a broker and an API of the test's own"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from conftest import SECRET
from test_runs import FakeApi
from xray.airflow.trigger import NotificationTrigger, check_kafka
from xray.errors import SettingsError

ROOT = Path(__file__).resolve().parents[2]
KEY = "PNEUMONIA/demo_Ada Ashgrove_1234_1957-07-10_2016-08-26.jpeg"


def message(key: str, sequencer: str = "1") -> bytes:
    entry = {"key": key, "eTag": "abc", "size": 3, "sequencer": sequencer}
    record = {
        "eventSource": "ceph:s3",
        "eventName": "ObjectCreated:Put",
        "s3": {"bucket": {"name": "xray-data-in"}, "object": entry},
    }
    return json.dumps({"Records": [record]}).encode()


@pytest.fixture(scope="module")
def brokers() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "include.demo.broker"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as broker:
        assert broker.stdout is not None
        assert broker.stdin is not None
        yield broker.stdout.readline().strip()
        broker.stdin.close()


@pytest.fixture
def api() -> Iterator[FakeApi]:
    api = FakeApi()
    yield api
    api.close()


class Deployment:
    """A topic, and what the trigger reads of Airflow, through the environment."""

    def __init__(self, brokers: str, topic: str) -> None:
        self.brokers, self.topic, self.dead = brokers, topic, f"{topic}.dlq"
        self.producer = Producer({"bootstrap.servers": brokers})

    def send(self, *messages: bytes | None) -> None:
        for one in messages:
            self.producer.produce(self.topic, one)
        assert self.producer.flush(10) == 0

    def committed(self) -> int:
        """Messages of the topic whose offsets are committed."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": f"g-{self.topic}"})
        try:
            parts = consumer.list_topics(self.topic, timeout=10).topics[self.topic].partitions
            places = consumer.committed([TopicPartition(self.topic, p) for p in parts], timeout=10)
            return sum(max(0, place.offset) for place in places)
        finally:
            consumer.close()

    def dead_letters(self, count: int) -> list[tuple[bytes | None, dict[str, str]]]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.brokers,
                "group.id": f"dead-{self.topic}",
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe([self.dead])
        found = []
        try:
            while len(found) < count:
                one = consumer.poll(15)
                assert one is not None, f"{len(found)} of {count} dead letters"
                assert one.error() is None
                headers = {name: value.decode() for name, value in one.headers()}
                found.append((one.value(), headers))
        finally:
            consumer.close()
        return found

    @asynccontextmanager
    async def running(self) -> AsyncIterator[NotificationTrigger]:
        """A trigger at work, as the triggerer runs it."""
        trigger = NotificationTrigger(topic=self.topic, dead_letter_topic=self.dead)

        async def drain() -> None:
            async for _ in trigger.run():
                raise AssertionError("it never fires")

        task = asyncio.create_task(drain())
        try:
            yield trigger
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


@pytest.fixture
def deployment(
    brokers: str, api: FakeApi, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Deployment:
    topic = "".join(c if c.isalnum() else "-" for c in request.node.name)
    kafka = {
        "bootstrap.servers": brokers,
        "group.id": f"g-{topic}",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        # The embedded broker forgets a member that left only when its session has run out.
        "session.timeout.ms": 6000,
    }
    host, port = api.server.server_address[:2]
    service = {"conn_type": "http", "host": host, "port": port, "login": "xray"}
    monkeypatch.setenv(
        "AIRFLOW_CONN_XRAY_KAFKA", json.dumps({"conn_type": "kafka", "extra": kafka})
    )
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_API", json.dumps({**service, "password": "right"}))
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", SECRET)
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", "{}")
    monkeypatch.setattr("xray.airflow.trigger.KEEP_ALIVE_SECONDS", 0.05)
    return Deployment(brokers, topic)


async def until(true: Callable[[], Any], what: str, seconds: float = 30) -> None:
    """Wait for the trigger's work, which announces nothing."""
    for _ in range(int(seconds / 0.05)):
        if await asyncio.to_thread(true):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"no {what} within {seconds} s")


def test_each_notification_starts_one_run(deployment: Deployment, api: FakeApi) -> None:
    deployment.send(*(message(f"{KEY}{number}") for number in range(50)))
    deployment.send(*(message(f"{KEY}{number}") for number in range(50)), None)

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 101, "commit of all offsets")

    asyncio.run(go())
    assert len(api.runs) == 50
    assert sorted(conf["key"] for conf in api.runs.values()) == sorted(
        f"{KEY}{number}" for number in range(50)
    )
    for run_id in api.runs:
        assert run_id.startswith("xray__")
        assert "Ada" not in run_id


def test_what_cannot_be_read_is_kept_and_stops_nothing(
    deployment: Deployment, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [b"nonsense", b"{}", b"\xff"]
    deployment.send(bad[0], message("a"), *bad[1:], message("b"))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 5, "commit of all offsets")

    asyncio.run(go())
    assert {conf["key"] for conf in api.runs.values()} == {"a", "b"}
    letters = deployment.dead_letters(3)
    assert {value for value, _ in letters} == set(bad)
    for _, headers in letters:
        assert headers["xray-reason"]
        assert headers["xray-topic"] == deployment.topic
        assert int(headers["xray-offset"]) >= 0


def test_a_refused_run_is_a_dead_letter(deployment: Deployment, api: FakeApi) -> None:
    api.refuse = [422]
    deployment.send(message(KEY))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 1, "commit")

    asyncio.run(go())
    assert api.runs == {}
    ((value, headers),) = deployment.dead_letters(1)
    assert value == message(KEY)
    assert "422" in headers["xray-reason"]


def test_nothing_is_committed_before_the_runs_exist(
    deployment: Deployment, api: FakeApi, caplog: pytest.LogCaptureFixture
) -> None:
    api.refuse = [503] * 10_000
    deployment.send(message(KEY), message(f"{KEY}2"))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: len(api.refuse) < 9_996, "calls of the API")
            assert deployment.committed() == 0
            with api.lock:
                api.refuse.clear()
            await until(lambda: deployment.committed() == 2, "commit")

    asyncio.run(go())
    assert len(api.runs) == 2
    assert "503" in caplog.text
    assert "Ada" not in caplog.text


def test_a_trigger_that_dies_before_its_commit_starts_nothing_twice(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xray.airflow.trigger import Intake

    deployment.send(*(message(f"{KEY}{number}") for number in range(5)))
    with monkeypatch.context() as patch:
        patch.setattr(Intake, "_commit", lambda *_: None)

        async def first() -> None:
            async with deployment.running():
                await until(lambda: len(api.runs) == 5, "runs")

        asyncio.run(first())
    assert deployment.committed() == 0

    async def second() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 5, "commit")

    asyncio.run(second())
    assert len(api.runs) == 5


def test_it_travels_through_the_database_whole() -> None:
    arguments = {
        "topic": "t",
        "dead_letter_topic": "d",
        "dag_id": "x",
        "batch": 7,
        "concurrency": 3,
    }
    path, given = NotificationTrigger(**arguments).serialize()  # type: ignore[arg-type]
    assert given == arguments
    assert path == f"{NotificationTrigger.__module__}.{NotificationTrigger.__qualname__}"


GOOD = {"group.id": "xray", "enable.auto.commit": "false", "auto.offset.reset": "earliest"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"enable.auto.commit": True}, "must be false, not True"),
        ({"enable.auto.commit": None}, "must be false"),
        ({"group.id": ""}, "group.id"),
        ({"auto.offset.reset": "latest"}, "earliest"),
    ],
)
def test_a_connection_that_would_lose_messages_is_refused(
    change: dict[str, Any], said: str
) -> None:
    check_kafka(GOOD)
    with pytest.raises(SettingsError, match=said):
        check_kafka({**GOOD, **change})
