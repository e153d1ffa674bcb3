"""xray.airflow.letters: what is read of the dead-letter topic, and what is not"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from tests.support import notification
from tests.support.deployment import KEY, Deployment, until
from tests.support.fake_api import FakeApi
from xray.airflow import letters
from xray.airflow.letters import MAX_REASON, newest
from xray.errors import BlockedError, SettingsError, TransientError

Wrap = Callable[[type[Any]], list[Any]]
DAY = 24 * 60 * 60 * 1000
"""In milliseconds."""


def put(deployment: Deployment, *reasons: str, partition: int = 0, begin: int = DAY) -> None:
    """Write a letter for each reason, a second after the other, from the time ``begin`` on."""
    for number, reason in enumerate(reasons):
        deployment.producer.produce(
            deployment.dead,
            b"a message",
            partition=partition,
            timestamp=begin + 1000 * number,
            headers=[("xray-reason", reason.encode())],
        )
    assert deployment.producer.flush(10) == 0


class Watched:
    """A consumer that remembers how many messages it has delivered, and refuses to change Kafka."""

    def __init__(self, real: Consumer) -> None:
        self.real = real
        self.delivered = 0
        self.closed = False

    def __getattr__(self, name: str) -> Any:
        assert name in ("assign", "get_watermark_offsets", "list_topics"), f"{name} is not needed"
        return getattr(self.real, name)

    def poll(self, timeout: float) -> Any:
        """Return the next message or error."""
        message = self.real.poll(timeout)
        self.delivered += message is not None and message.error() is None
        return message

    def close(self) -> None:
        """Close the consumer."""
        self.closed = True
        self.real.close()


@pytest.fixture
def wrap(monkeypatch: pytest.MonkeyPatch) -> Wrap:
    """A function that puts a class around each consumer, and returns the consumers."""
    make = letters.new_consumer

    def with_class(kind: type[Any]) -> list[Any]:
        made: list[Any] = []

        def new(*arguments: Any) -> Any:
            made.append(kind(make(*arguments)))
            return made[-1]

        monkeypatch.setattr(letters, "new_consumer", new)
        return made

    return with_class


def test_a_letter_says_why_and_where_and_nothing_of_its_message(
    deployment: Deployment, api: FakeApi
) -> None:
    refused = notification(KEY)
    deployment.send(b"nonsense", partition=1)
    deployment.send(refused, partition=2)
    api.refuse = [422]

    async def go() -> None:
        async with deployment.running():
            await until(lambda: deployment.committed() == 2, "commit")

    before = datetime.now(UTC)
    asyncio.run(go())
    found = newest(deployment.dead)
    assert (found.on_topic, found.complete) == (2, True)
    by_reason = {one.reason: one for one in found.letters}
    assert set(by_reason) == {
        "The message is not JSON in UTF-8.",
        "Airflow's API refuses the run (HTTP 422).",
    }
    letter = by_reason["Airflow's API refuses the run (HTTP 422)."]
    assert (letter.topic, letter.partition, letter.offset) == (deployment.topic, "2", "0")
    assert (letter.size, letter.left_out) == (len(refused), False)
    assert abs((letter.written - before).total_seconds()) < 60
    assert "Ada" not in repr(found)


def test_the_newest_letters_of_all_partitions_come_first(deployment: Deployment) -> None:
    put(deployment, "1", "3", "5", partition=0, begin=DAY)
    put(deployment, "2", "4", "6", partition=3, begin=DAY + 500)
    found = newest(deployment.dead, 4)
    assert [one.reason for one in found.letters] == ["6", "5", "4", "3"]
    assert found.letters[0].written == datetime.fromtimestamp((DAY + 2500) / 1000, UTC)
    assert found.on_topic == 6


def test_letters_of_the_same_moment_are_in_the_order_of_their_offsets(
    deployment: Deployment,
) -> None:
    for reason in ("first", "second"):
        put(deployment, reason)
    assert [one.reason for one in newest(deployment.dead).letters] == ["second", "first"]


def test_only_the_end_of_each_partition_is_read(deployment: Deployment, wrap: Wrap) -> None:
    """And no group is joined, nothing subscribed, nothing committed: see Watched."""
    made = wrap(Watched)
    for partition in (0, 1):
        put(deployment, *map(str, range(300)), partition=partition)
    found = newest(deployment.dead, 10)
    assert (len(found.letters), found.on_topic, found.complete) == (10, 600, True)
    assert {one.reason for one in found.letters} == {str(number) for number in range(295, 300)}
    assert made[0].delivered == 20
    assert made[0].closed
    group = f"g-{deployment.topic}"  # That of the connection.
    asks = Consumer({"bootstrap.servers": deployment.brokers, "group.id": group})
    try:
        partitions = [TopicPartition(deployment.dead, number) for number in (0, 1)]
        assert all(one.offset < 0 for one in asks.committed(partitions, timeout=10))
    finally:
        asks.close()


def test_a_topic_that_does_not_exist_has_no_letters(deployment: Deployment) -> None:
    found = newest(deployment.dead)
    assert (found.letters, found.on_topic, found.exists) == ([], 0, False)


def test_an_empty_topic_has_no_letters(deployment: Deployment) -> None:
    """One of which Kafka has removed all letters; the embedded broker removes none."""
    deployment.producer.list_topics(deployment.dead, timeout=10)

    def exists() -> bool:
        return newest(deployment.dead).exists

    asyncio.run(until(exists, "topic"))
    found = newest(deployment.dead)
    assert (found.letters, found.on_topic, found.complete) == ([], 0, True)


def test_a_letter_that_was_left_out_has_the_size_of_its_message(deployment: Deployment) -> None:
    headers = [("xray-reason", b"r"), ("xray-left-out", b"1048000 bytes")]
    deployment.producer.produce(deployment.dead, None, headers=headers)
    deployment.producer.produce(deployment.dead, None, headers=[("xray-left-out", b"Ada")])
    # A message of any producer may have a header of this name.
    deployment.producer.produce(deployment.dead, b"four", headers=headers)
    assert deployment.producer.flush(10) == 0
    found = {(one.left_out, one.size) for one in newest(deployment.dead).letters}
    assert found == {(True, 1048000), (True, None), (False, 4)}


def test_headers_that_the_listener_does_not_write_are_not_kept(deployment: Deployment) -> None:
    headers = {
        "xray-reason": b"\xff" + b"r" * 1000,
        "xray-topic": b"Ada Ashgrove",
        "xray-partition": "\u0663".encode(),  # A digit, but none of ASCII.
        "xray-offset": b"-1",
        "patient": b"Ada",
    }
    never = 2**62  # In milliseconds: no year of a calendar.
    deployment.producer.produce(
        deployment.dead, b"", headers=list(headers.items()), timestamp=never
    )
    assert deployment.producer.flush(10) == 0
    (letter,) = newest(deployment.dead).letters
    assert (letter.topic, letter.partition, letter.offset) == ("", "", "")
    assert letter.reason == "\ufffd" + "r" * (MAX_REASON - 1)
    assert letter.written.year == 9999
    assert "Ada" not in repr(letter)


def test_what_was_not_delivered_in_time_is_missing(deployment: Deployment, wrap: Wrap) -> None:
    class Slow(Watched):
        def poll(self, timeout: float) -> Any:
            message = super().poll(timeout)
            return message if message is not None and message.partition() == 0 else None

    put(deployment, "in time", partition=0)
    put(deployment, "late", partition=1)
    wrap(Slow)
    began = time.monotonic()
    found = newest(deployment.dead, seconds=2)
    assert time.monotonic() - began < 10
    assert ([one.reason for one in found.letters], found.complete) == (["in time"], False)


def test_a_topic_that_delivers_nothing_is_not_empty(deployment: Deployment, wrap: Wrap) -> None:
    class Silent(Watched):
        def poll(self, timeout: float) -> Any:
            super().poll(timeout)

    put(deployment, "r")
    wrap(Silent)
    with pytest.raises(TransientError, match="did not deliver"):
        newest(deployment.dead, seconds=1)


def test_a_broker_that_is_away_is_waited_for_briefly(deployment: Deployment) -> None:
    deployment.configure(**{"bootstrap.servers": "127.0.0.1:9"})
    began = time.monotonic()
    with pytest.raises(TransientError, match=f"what is on the topic {deployment.dead}"):
        newest(deployment.dead, seconds=1)
    assert time.monotonic() - began < 10


def test_an_account_that_may_not_read_the_topic(deployment: Deployment, wrap: Wrap) -> None:
    """The embedded broker has no rights."""

    class Forbidden(Watched):
        def list_topics(self, topic: str, timeout: float) -> Any:
            error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
            return SimpleNamespace(topics={topic: SimpleNamespace(error=error, partitions={})})

    made = wrap(Forbidden)
    with pytest.raises(BlockedError, match="its account may read the topic"):
        newest(deployment.dead)
    assert made[0].closed


def test_a_refusal_says_what_to_check(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused login is an error of the client, and the request only finds no broker."""
    make = letters.new_consumer

    def refused(topic: str, on_error: Any, properties: Any) -> Any:
        consumer = make(topic, on_error, properties)

        class Refused(Watched):
            def list_topics(self, topic: str, timeout: float) -> Any:
                on_error(KafkaError(KafkaError._AUTHENTICATION))
                return super().__getattr__("list_topics")(topic, timeout=0.0001)

        return Refused(consumer)

    monkeypatch.setattr(letters, "new_consumer", refused)
    deployment.configure(**{"bootstrap.servers": "127.0.0.1:9"})
    with pytest.raises(BlockedError, match="check its login"):
        newest(deployment.dead)


@pytest.mark.parametrize("connection", [None, {}, {"bootstrap.servers": "b:1", "no.such": "x"}])
def test_a_connection_that_cannot_be_used(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, connection: dict[str, str] | None
) -> None:
    if connection is None:
        monkeypatch.setattr("xray.airflow.connections.KAFKA_CONNECTION", "nowhere")
    else:
        value = json.dumps({"conn_type": "kafka", "extra": connection})
        monkeypatch.setenv("AIRFLOW_CONN_XRAY_KAFKA", value)
    with pytest.raises(SettingsError, match="The Airflow connection xray_kafka is not defined"):
        newest(deployment.dead)
