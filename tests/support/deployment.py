"""A topic on a broker, and the connections and Variables with which a trigger finds it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from xray.airflow.listener.trigger import NotificationTrigger

KEY = "PNEUMONIA/demo_Ada Ashgrove_1234_1957-07-10_2016-08-26.jpeg"
"""An object key that names a patient."""


class Deployment:
    """A topic of notifications with its dead-letter topic, and triggers that read it."""

    def __init__(self, brokers: str, topic: str) -> None:
        self.brokers, self.topic, self.dead = brokers, topic, f"{topic}.dlq"
        self.producer = Producer({"bootstrap.servers": brokers})

    def configure(self, **properties: Any) -> None:
        """Change properties of the connection ``xray_kafka``."""
        name = "AIRFLOW_CONN_XRAY_KAFKA"
        connection = json.loads(os.environ[name])
        connection["extra"] |= properties
        os.environ[name] = json.dumps(connection)  # The fixture puts the variable back.

    def connect(self, brokers: str) -> None:
        """Point the connection ``xray_kafka`` to other brokers, and the topics too."""
        self.configure(**{"bootstrap.servers": brokers})
        self.brokers = brokers
        self.producer = Producer({"bootstrap.servers": brokers})

    def end(self, topic: str) -> int:
        """Return how many messages were written to a topic."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": "ends"})
        try:
            numbers = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            marks = [
                consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
                for number in numbers
            ]
            return sum(high for _, high in marks)
        finally:
            consumer.close()

    def partitions(self) -> list[int]:
        """Return the numbers of the topic's partitions."""
        topics = self.producer.list_topics(self.topic, timeout=10).topics
        return sorted(topics[self.topic].partitions)

    def send(self, *messages: bytes | None, partition: int = -1) -> None:
        """Send messages to the topic, by default to any partition."""
        for message in messages:
            self.producer.produce(self.topic, message, partition=partition)
        assert self.producer.flush(10) == 0

    def committed(self) -> int:
        """Return how many messages of the topic are committed."""
        consumer = Consumer({"bootstrap.servers": self.brokers, "group.id": f"g-{self.topic}"})
        try:
            numbers = consumer.list_topics(self.topic, timeout=10).topics[self.topic].partitions
            partitions = [TopicPartition(self.topic, number) for number in numbers]
            committed = consumer.committed(partitions, timeout=10)
            return sum(max(0, partition.offset) for partition in committed)
        finally:
            consumer.close()

    def dead_letters(self, count: int) -> list[tuple[bytes | None, dict[str, str]]]:
        """Return the first ``count`` dead letters: their values and headers."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.brokers,
                "group.id": f"dead-{self.topic}",
                "auto.offset.reset": "earliest",
            }
        )
        consumer.subscribe([self.dead])
        letters = []
        try:
            while len(letters) < count:
                message = consumer.poll(15)
                assert message is not None, f"{len(letters)} of {count} dead letters"
                assert message.error() is None
                headers = {name: value.decode() for name, value in message.headers()}
                letters.append((message.value(), headers))
        finally:
            consumer.close()
        return letters

    @asynccontextmanager
    async def running(self, **arguments: Any) -> AsyncIterator[NotificationTrigger]:
        """Run a trigger as the triggerer does, until the context ends."""
        trigger = NotificationTrigger(topic=self.topic, dead_letter_topic=self.dead, **arguments)
        trigger.task_instance = SimpleNamespace(
            dag_id="xray_listener", run_id="continuous", task_id="listen_1"
        )

        async def drain() -> None:
            async for _ in trigger.run():
                raise AssertionError("the trigger never fires")

        task = asyncio.create_task(drain())
        try:
            yield trigger
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


class Logged(logging.Handler):
    """Collects the log lines of the package while the context lasts."""

    def __enter__(self) -> Logged:
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
    """Wait until ``true()``: a trigger does not announce its work.

    Raises:
        AssertionError: it is still false after so many ``seconds``; the message names ``what``.
    """
    for _ in range(int(seconds / 0.05)):
        if await asyncio.to_thread(true):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"no {what} within {seconds} s")
