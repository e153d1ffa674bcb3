"""xray.airflow.listener.trigger: on a broker and an API of the test's own"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from include.servers.real.kafka import Kafka
from tests.support import KEYRING, ROOT, SECRET
from tests.support import notification as message
from tests.support.fake_api import FakeApi
from xray.airflow.listener.consumer import check_kafka
from xray.airflow.listener.trigger import NotificationTrigger
from xray.errors import SettingsError
from xray.pseudonym import Keyring

KEY = "PNEUMONIA/demo_Ada Ashgrove_1234_1957-07-10_2016-08-26.jpeg"


@pytest.fixture(scope="module")
def brokers(real: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker: Apache Kafka with --real, else the embedded one."""
    if real:
        with Kafka(tmp_path_factory.mktemp("kafka")) as kafka:
            yield kafka.brokers
        return
    with subprocess.Popen(
        [sys.executable, "-m", "include.servers.embedded.broker"],
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
    async def running(self, **arguments: Any) -> AsyncIterator[NotificationTrigger]:
        """A trigger at work, as the triggerer runs it."""
        trigger = NotificationTrigger(topic=self.topic, dead_letter_topic=self.dead, **arguments)
        trigger.task_instance = SimpleNamespace(task_id="listen_1", dag_id="xray_listener")

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
    monkeypatch.setattr("xray.airflow.listener.trigger.REST_AFTER", 0.05)
    monkeypatch.setattr("xray.airflow.listener.trigger.PAUSE_SECONDS", 0.1)
    monkeypatch.setattr("xray.airflow.listener.run_starter.LONGEST_PAUSE", 1.0)
    return Deployment(brokers, topic)


class Seen(logging.Handler):
    """The package's log lines, while it is a context."""

    def __enter__(self) -> Seen:
        self.text = ""
        logger = logging.getLogger("xray")
        logger.setLevel(logging.INFO)
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("xray").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.text += record.getMessage() + "\n"


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
    from xray.airflow.listener.consumer import Intake

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


def test_a_long_outage_with_all_room_taken_loses_nothing(
    deployment: Deployment, api: FakeApi
) -> None:
    api.refuse = [503] * 10_000
    deployment.send(*(message(f"{KEY}{number}") for number in range(20)))

    async def go() -> None:
        async with deployment.running(batch=3):
            await until(lambda: len(api.refuse) < 9_985, "calls of the API")
            assert deployment.committed() == 0
            with api.lock:
                api.refuse.clear()
            await until(lambda: deployment.committed() == 20, "commit")

    asyncio.run(go())
    assert len(api.runs) == 20


def test_a_run_that_breaks_the_api_stops_no_other(deployment: Deployment, api: FakeApi) -> None:
    deployment.send(message("poison"))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: api.logins == 1, "login")
            for number in range(2000):  # It is to blame only while others start.
                deployment.send(message(f"{KEY}{number}"))
                await asyncio.sleep(0.02)
                if deployment.committed() > number:
                    break
            await until(lambda: deployment.committed() == number + 2, "commit")

    asyncio.run(go())
    assert len(api.runs) == len({conf["key"] for conf in api.runs.values()})
    ((value, headers),) = deployment.dead_letters(1)
    assert value == message("poison")
    assert "this run is to blame" in headers["xray-reason"]


def test_a_bad_record_keeps_none_of_its_neighbours_from_its_run(
    deployment: Deployment, api: FakeApi
) -> None:
    two = json.loads(message("a"))
    two["Records"] += [{"nonsense": 1}, *json.loads(message("b"))["Records"]]
    deployment.send(json.dumps(two).encode())

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 1, "commit")

    asyncio.run(go())
    assert {conf["key"] for conf in api.runs.values()} == {"a", "b"}
    ((_, headers),) = deployment.dead_letters(1)
    assert "eventName" in headers["xray-reason"]


def test_a_defect_of_ours_is_a_dead_letter_without_its_words(
    deployment: Deployment,
    api: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from xray.case import Source

    def broken(self: Source, keyring: Keyring) -> str:
        raise ZeroDivisionError(self.key)

    deployment.send(message(KEY))
    with monkeypatch.context() as patch:
        patch.setattr(Source, "run_id", broken)

        async def go() -> None:
            async with deployment.running():
                await until(lambda: deployment.committed() == 1, "commit")

        asyncio.run(go())
    ((_, headers),) = deployment.dead_letters(1)
    assert "ZeroDivisionError" in headers["xray-reason"]
    assert "Ada" not in headers["xray-reason"] + caplog.text


def test_pausing_the_listener_stops_the_intake(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xray.airflow.listener.consumer import Intake

    rest, rests = Intake._rest, []
    monkeypatch.setattr(Intake, "_rest", lambda self: rests.append(rest(self)))

    async def go() -> None:
        async with deployment.running():
            deployment.send(message("before"))
            await until(lambda: deployment.committed() == 1, "commit")
            api.dag["is_paused"] = True
            await until(lambda: "nothing is taken" in seen.text and rests, "pause")
            deployment.send(message("while"))
            with pytest.raises(AssertionError):
                await until(lambda: len(api.runs) > 1, "run", seconds=1)
            api.dag["is_paused"] = False
            await until(lambda: deployment.committed() == 2, "commit")

    with Seen() as seen:
        asyncio.run(go())
    assert len(api.runs) == 2


def test_a_dead_letter_that_the_broker_does_not_take_is_tried_again(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    from confluent_kafka import KafkaError

    from xray.airflow.listener.consumer import DeadLetters

    deliver, failures = DeadLetters._deliver, [KafkaError._TIMED_OUT] * 2

    def failing(self: DeadLetters, *arguments: Any) -> Any:
        return KafkaError(failures.pop()) if failures else deliver(self, *arguments)

    monkeypatch.setattr(DeadLetters, "_deliver", failing)
    deployment.send(b"nonsense", message("good"))

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 2, "commit")

    asyncio.run(go())
    assert not failures
    assert len(deployment.dead_letters(1)) == 1
    assert len(api.runs) == 1


def test_a_letter_too_large_for_its_topic_tells_where_it_was(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from confluent_kafka import KafkaError

    from xray.airflow.listener.consumer import DeadLetters

    deliver = DeadLetters._deliver

    def limited(self: DeadLetters, key: Any, value: Any, headers: Any) -> Any:
        if len(value or b"") > 10:
            return KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
        return deliver(self, key, value, headers)

    monkeypatch.setattr(DeadLetters, "_deliver", limited)
    deployment.send(b"nonsense, and much of it")

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 1, "commit")

    asyncio.run(go())
    ((value, headers),) = deployment.dead_letters(1)
    assert value is None
    assert headers["xray-left-out"] == "24 bytes"
    assert headers["xray-topic"] == deployment.topic


def test_what_is_done_is_counted(
    deployment: Deployment, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.observability.stats import Stats

    counters: Counter[str] = Counter()
    gauges: dict[str, float] = {}
    times: list[Any] = []
    monkeypatch.setattr(Stats, "incr", lambda name, count: counters.update({name: count}))
    monkeypatch.setattr(Stats, "gauge", lambda name, value: gauges.update({name: value}))
    monkeypatch.setattr(Stats, "timing", lambda name, took: times.append((name, took)))
    monkeypatch.setattr("xray.airflow.listener.trigger.LAG_SECONDS", 0)
    deployment.send(message("a"), message("a"), message("b"), b"bad", None)

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


def replay(deployment: Deployment, api: FakeApi, **choice: Any) -> dict[str, Any]:
    """What a replay of the topic's letters answers."""
    from xray.airflow.api import RunsClient
    from xray.airflow.jobs.replay import read_letters, replay
    from xray.airflow.listener.run_starter import RunStarter
    from xray.settings import Settings

    consumer = Consumer({"bootstrap.servers": deployment.brokers, "group.id": "replay"})

    async def go() -> dict[str, Any]:
        async with RunsClient(api.url, "xray", "right") as client:
            desk = RunStarter(
                client, dag_id="d", keyring=KEYRING, settings=Settings(), patient=False
            )
            return await replay(read_letters(consumer, deployment.dead, None), desk, **choice)

    try:
        return asyncio.run(go())
    finally:
        consumer.close()


def test_dead_letters_come_back_once_the_cause_is_mended(
    deployment: Deployment, api: FakeApi
) -> None:
    deployment.send(b"nonsense", message("a"), message("b"), message("c"))
    api.refuse = [422] * 3

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 4, "commit")

    asyncio.run(go())
    assert api.runs == {}

    dry = replay(deployment, api, dry_run=True)
    assert (dry["letters"], dry["replayed"], dry["started"]) == (4, 0, 0)
    assert sorted(dry["reasons"].values()) == [1, 3]
    assert api.runs == {}

    by_reason = replay(deployment, api, reason="422")
    assert (by_reason["replayed"], by_reason["started"], by_reason["still_bad"]) == (3, 3, 0)
    assert {conf["key"] for conf in api.runs.values()} == {"a", "b", "c"}

    again = replay(deployment, api)
    assert (again["replayed"], again["started"], again["duplicate"]) == (4, 0, 3)
    assert again["still_bad"] == 1
    assert list(again["reasons"].values()) == [1]


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


GOOD = {
    "bootstrap.servers": "b:1",
    "group.id": "xray",
    "enable.auto.commit": "false",
    "auto.offset.reset": "earliest",
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"enable.auto.commit": True}, "must be false, not True"),
        ({"enable.auto.commit": None}, "must be false"),
        ({"group.id": ""}, "group.id"),
        ({"bootstrap.servers": None}, "bootstrap.servers"),
        ({"auto.offset.reset": "latest"}, "earliest"),
    ],
)
def test_a_connection_that_would_lose_messages_is_refused(
    change: dict[str, Any], said: str
) -> None:
    check_kafka(GOOD)
    with pytest.raises(SettingsError, match=said):
        check_kafka({**GOOD, **change})
