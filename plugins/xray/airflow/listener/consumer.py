"""The Kafka consumer of the listener: one member of the consumer group, which commits by hand.

The Kafka client blocks, so the consumer has a thread of its own; the event loop is shared by all
triggers of the process.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from airflow.sdk import BaseHook

from xray.airflow import connections
from xray.airflow.connections import KAFKA_SECONDS
from xray.errors import SettingsError
from xray.notification import OffsetTracker, Partition, PendingOffset

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 0.25
"""How long a poll waits for a message."""
LOG_SECONDS = 15.0
"""How often the same Kafka error is logged."""


class ReceivedMessage(NamedTuple):
    """A message, and its offset, which is pending until the message is finished."""

    message: Message
    pending: PendingOffset


class NotificationConsumer:
    """One member of the consumer group."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="xray-kafka")
        self._consumer: Consumer | None = None
        self._offsets = OffsetTracker()
        self._paused = False
        self._early: list[Message] = []
        """Messages that arrived although the partitions were paused."""
        self._logged_at: dict[int, float] = {}
        """When each Kafka error was last logged, by its code."""

    async def open(self) -> None:
        """Join the consumer group.

        Raises:
            SettingsError: the connection lacks a property, or would commit offsets by itself.
        """
        connection = await BaseHook.aget_connection(connections.KAFKA_CONNECTION)
        connections.check_kafka_connection(connection.extra_dejson)
        await self._on_thread(self._join)

    def _join(self) -> None:
        from airflow.providers.apache.kafka.hooks.consume import KafkaConsumerHook

        hook = KafkaConsumerHook([self._topic], kafka_config_id=connections.KAFKA_CONNECTION)
        self._consumer = hook.get_conn
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._lost,
        )

    async def receive(self, limit: int) -> list[ReceivedMessage]:
        """Return the next messages, at most ``limit``; an empty list if none arrives in a poll.

        Raises:
            SettingsError: Kafka refuses the login, the topic or the consumer group.
        """
        return await self._on_thread(self._receive, limit)

    def _receive(self, limit: int) -> list[ReceivedMessage]:
        consumer = self._joined_consumer()
        if self._paused:
            self._paused = False
            consumer.resume(consumer.assignment())
        messages, self._early = self._early, []
        # Compared with None: a message without a value is false.
        if not messages and (first := self._poll(POLL_SECONDS)) is not None:
            messages = [first]
            messages += [m for m in consumer.consume(limit - 1, 0.005) if self._is_message(m)]
        return [ReceivedMessage(message, self._track(message)) for message in messages]

    def _poll(self, seconds: float) -> Message | None:
        from airflow.providers.apache.kafka.hooks.consume import KafkaAuthenticationError
        from confluent_kafka import KafkaException

        try:
            message = self._joined_consumer().poll(seconds)
        except (KafkaAuthenticationError, KafkaException) as error:
            raise SettingsError(_refusal(error)) from None
        return message if message is not None and self._is_message(message) else None

    def _track(self, message: Message) -> PendingOffset:
        return self._offsets.add(
            Partition(str(message.topic()), int(message.partition())), int(message.offset())
        )

    async def pause(self) -> None:
        """Pause the partitions for one poll, without leaving the group: the wait may be long.

        The next :meth:`receive` resumes them.
        """
        await self._on_thread(self._pause)

    def _pause(self) -> None:
        consumer = self._joined_consumer()
        if not self._paused:
            self._paused = True
            consumer.pause(consumer.assignment())
        if (message := self._poll(POLL_SECONDS)) is not None:
            self._early.append(message)  # It was on its way when its partition was paused.

    def finish(self, pending: PendingOffset) -> None:
        """Note that the runs of a message exist, or that the message is a dead letter."""
        self._offsets.finish(pending)

    async def commit(self) -> None:
        """Commit the offsets of the finished messages."""
        if self._offsets.ready():
            await self._on_thread(self._commit)

    def _commit(self, *partitions: Partition) -> None:
        """Commit the offsets that are ready, of all ``partitions`` if none is given."""
        from confluent_kafka import KafkaException, TopicPartition

        ready = self._offsets.ready()
        if partitions:
            ready = {one: ready[one] for one in partitions if one in ready}
        if not ready:
            return
        try:
            self._joined_consumer().commit(
                offsets=[TopicPartition(*partition, offset) for partition, offset in ready.items()],
                asynchronous=False,
            )
            self._offsets.committed(ready)
        except KafkaException as error:
            # The next member that has the partition reads these messages again, and finds that
            # their runs exist.
            self._log_error(error.args[0], "Offsets not committed: %s")

    async def lag(self) -> dict[int, int]:
        """Return the number of waiting messages for each partition of this member, if known."""
        return await self._on_thread(self._lag)

    def _lag(self) -> dict[int, int]:
        from confluent_kafka import KafkaException

        consumer = self._joined_consumer()
        lag = {}
        try:
            positions = consumer.position(consumer.assignment())
            unread = [partition for partition in positions if partition.offset < 0]
            offsets = {partition.partition: partition.offset for partition in positions}
            if unread:
                committed = consumer.committed(unread, timeout=KAFKA_SECONDS)
                offsets |= {partition.partition: partition.offset for partition in committed}
            for partition in positions:
                low, high = consumer.get_watermark_offsets(partition, cached=True)
                if high >= 0:
                    number = partition.partition
                    lag[number] = max(0, high - max(low, offsets[number]))
        except KafkaException as error:
            self._log_error(error.args[0], "The lag is not known: %s")
        return lag

    async def close(self) -> None:
        """Commit the offsets of the finished messages and leave the group."""
        await asyncio.shield(self._on_thread(self._close))
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._consumer is not None:
            self._commit()
            self._consumer.close()
            self._consumer = None

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        log.info("Partitions assigned: %s", _numbers(partitions))
        if self._paused:
            consumer.pause(partitions)

    def _revoked(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        revoked = [Partition(one.topic, one.partition) for one in partitions]
        log.info("Partitions revoked: %s", _numbers(partitions))
        if revoked:
            self._commit(*revoked)
        self._forget(revoked)

    def _lost(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        log.warning("Partitions lost to another member: %s", _numbers(partitions))
        self._forget([Partition(one.topic, one.partition) for one in partitions])

    def _forget(self, partitions: Sequence[Partition]) -> None:
        gone = set(partitions)
        if gone:
            self._offsets.forget(*gone)
        self._early = [m for m in self._early if Partition(m.topic(), m.partition()) not in gone]

    def _is_message(self, message: Message) -> bool:
        """Return whether ``message`` is a message: the Kafka client delivers errors as messages.

        Raises:
            SettingsError: it is an error that ends the consumer.
        """
        from confluent_kafka import KafkaError

        error = message.error()
        if error is None:
            return True
        if error.fatal() or error.code() in (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
        ):
            raise SettingsError(_refusal(error))
        if error.code() != KafkaError._PARTITION_EOF:
            self._log_error(error, "Kafka: %s")
        return False

    def _log_error(self, error: Any, sentence: str) -> None:
        now = time.monotonic()
        if now - self._logged_at.get(error.code(), float("-inf")) >= LOG_SECONDS:
            log.warning(sentence, error.str())
            self._logged_at[error.code()] = now

    def _joined_consumer(self) -> Consumer:
        assert self._consumer is not None, "open() has to be called before any other method"
        return self._consumer

    def _on_thread(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def _refusal(error: Any) -> str:
    return (
        f"Kafka refuses the connection {connections.KAFKA_CONNECTION} ({error}): check its login, "
        "and that its account may read the topic and use the consumer group."
    )


def _numbers(partitions: Sequence[TopicPartition]) -> str:
    return ", ".join(str(one.partition) for one in partitions) or "none"
