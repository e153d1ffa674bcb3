"""xray.airflow.listener.consumer: one member of the group, on a broker of the tests' own"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.support.deployment import Deployment
from xray.airflow.listener import partitions
from xray.airflow.listener.consumer import NotificationConsumer, ReceivedMessage
from xray.errors import SettingsError


@asynccontextmanager
async def member(deployment: Deployment) -> AsyncIterator[NotificationConsumer]:
    """A consumer that has joined the group."""
    consumer = NotificationConsumer(deployment.topic)
    await consumer.open()
    try:
        yield consumer
    finally:
        await consumer.close()


async def receive(consumer: NotificationConsumer, count: int) -> list[ReceivedMessage]:
    """Receive ``count`` messages."""
    received: list[ReceivedMessage] = []
    for _ in range(200):
        received += await consumer.receive(count - len(received))
        if len(received) == count:
            return received
    raise AssertionError(f"{len(received)} of {count} messages")


def values(received: list[ReceivedMessage]) -> list[bytes]:
    return sorted(one.message.value() for one in received)


def test_an_unfinished_message_holds_back_its_partition(deployment: Deployment) -> None:
    """Finished messages after an unfinished one are not committed, and are delivered again."""
    sent = [str(number).encode() for number in range(5)]
    deployment.send(*sent)

    async def first() -> None:
        async with member(deployment) as consumer:
            received = await receive(consumer, 5)
            for one in received:
                if one.message.offset() > 0:
                    consumer.finish(one.pending)
            await consumer.commit()
            assert deployment.committed() == 0
            assert values(received) == sent

    async def second() -> None:
        async with member(deployment) as consumer:
            received = await receive(consumer, 5)
            assert values(received) == sent
            for one in received:
                consumer.finish(one.pending)
            await consumer.commit()
            assert deployment.committed() == 5

    asyncio.run(first())
    asyncio.run(second())


def test_a_limit_is_kept(deployment: Deployment) -> None:
    deployment.send(*(str(number).encode() for number in range(5)))

    async def go() -> None:
        async with member(deployment) as consumer:
            first = await receive(consumer, 2)
            assert values([*first, *await receive(consumer, 3)]) == [b"0", b"1", b"2", b"3", b"4"]
            assert await consumer.receive(10) == [], "there are no more"

    asyncio.run(go())


def test_no_message_is_lost_while_paused(deployment: Deployment) -> None:
    deployment.send(b"before")

    async def go() -> None:
        async with member(deployment) as consumer:
            await receive(consumer, 1)
            await consumer.pause()
            deployment.send(b"while")
            for _ in range(3):
                await consumer.pause()
            assert values(await receive(consumer, 1)) == [b"while"]

    asyncio.run(go())


@pytest.mark.parametrize("protocol", ["range", "cooperative-sticky"])
def test_a_member_that_is_paused_when_it_joins_holds_no_message(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    deployment.configure(**{"partition.assignment.strategy": protocol})
    sent = [str(number).encode() for number in range(100, 150)]
    deployment.send(*sent)

    async def go() -> None:
        async with member(deployment) as consumer:
            for _ in range(200):
                await consumer.pause()
                if consumer.partitions:
                    break
            for _ in range(8):
                await consumer.pause()
            first: list[ReceivedMessage] = []
            while not first:
                first = await consumer.receive(3)
            assert len(first) <= 3, "never more than there is room for"
            rest = await receive(consumer, len(sent) - len(first))
            assert values([*first, *rest]) == sent
            for partition in {one.message.partition() for one in rest}:
                read = [one for one in [*first, *rest] if one.message.partition() == partition]
                offsets = [one.message.offset() for one in read]
                assert offsets == sorted(set(offsets)), "each once and in order"

    asyncio.run(go())


def test_closing_commits_what_is_finished(deployment: Deployment) -> None:
    deployment.send(b"one", b"two")

    async def go() -> None:
        async with member(deployment) as consumer:
            for one in await receive(consumer, 2):
                consumer.finish(one.pending)

    asyncio.run(go())
    assert deployment.committed() == 2


def test_the_lag_counts_the_messages_that_wait(deployment: Deployment) -> None:
    deployment.send(*(str(number).encode() for number in range(5)))

    async def go() -> None:
        async with member(deployment) as consumer:
            await receive(consumer, 2)
            # The client learns the end of each partition with its first messages, and does not
            # announce that.
            for _ in range(600):
                if sum((await consumer.lag()).waiting.values()) == 3:
                    return
                await asyncio.sleep(0.05)
            raise AssertionError(f"the lag is {await consumer.lag()}")

    asyncio.run(go())


def test_messages_arrive_while_the_broker_does_not_tell_the_lag(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, told = threading.Event(), threading.Event()

    def held_back(*_: object) -> tuple[int, int]:
        asked.set()
        assert told.wait(60)
        return 0, 3

    async def go() -> None:
        async with member(deployment) as consumer:
            deployment.send(b"one")
            await receive(consumer, 1)
            monkeypatch.setattr(partitions, "watermarks", held_back)
            lag = asyncio.create_task(consumer.lag())
            await asyncio.to_thread(asked.wait)
            deployment.send(b"two")
            await receive(consumer, 1)
            assert not lag.done()
            told.set()
            assert sum((await lag).waiting.values()) > 0
            asked.clear()
            told.clear()
            lag = asyncio.create_task(consumer.lag())
            await asyncio.to_thread(asked.wait)
            closing = asyncio.create_task(consumer.close())
            told.set()
            await closing
            await lag  # Its client is closed after it.
            assert not (await consumer.lag()).waiting, "nothing is read from a closed client"

    asyncio.run(go())


@pytest.mark.parametrize("wrong", [{"enable.auto.commit": True}, {"group.id": ""}])
def test_a_wrong_connection_is_refused_when_opened(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    extra = {
        "bootstrap.servers": deployment.brokers,
        "group.id": "g",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
    connection = {"conn_type": "kafka", "extra": {**extra, **wrong}}
    monkeypatch.setenv("AIRFLOW_CONN_XRAY_KAFKA", json.dumps(connection))

    async def go() -> None:
        await NotificationConsumer(deployment.topic).open()

    with pytest.raises(SettingsError, match="The Airflow connection xray_kafka"):
        asyncio.run(go())
