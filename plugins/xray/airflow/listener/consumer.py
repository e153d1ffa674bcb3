"""The Kafka consumer of the listener: one member of the consumer group, which commits by hand.

The Kafka client blocks, so the consumer has threads of its own; the event loop is shared by all
triggers of the process.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from airflow.sdk import BaseHook

from xray.airflow import connections
from xray.airflow.listener import kafka_clients
from xray.airflow.listener.backoff import LimitedLog
from xray.airflow.listener.partitions import FoundGap, Lag, Partitions, partition_of
from xray.errors import TransientError
from xray.notification import Partition, PendingOffset

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 0.25
"""How long a poll waits for a message."""


class ReceivedMessage(NamedTuple):
    """A message, and its offset, which is pending until the message is finished."""

    message: Message
    pending: PendingOffset


class NotificationConsumer:
    """One member of the consumer group. It can be opened again after it was closed."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="xray-kafka")
        self._lag_thread = ThreadPoolExecutor(1, thread_name_prefix="xray-kafka-lag")
        self._consumer: Consumer | None = None
        self._lag_client: Consumer | None = None
        """Reads the ends of the partitions, and is no member of the group."""
        self._partitions = Partitions()
        self._paused = False
        self._assigned_now = False
        """Whether partitions were assigned in the present poll."""
        self._failure: TransientError | None = None
        """Why this consumer has to be replaced."""
        self._limited = LimitedLog(log)

    @property
    def partitions(self) -> frozenset[int]:
        """The numbers of the partitions that this member has."""
        return self._partitions.numbers

    async def open(self) -> None:
        """Join the consumer group.

        Raises:
            SettingsError: the connection lacks a property, or would commit offsets by itself.
        """
        connection = await BaseHook.aget_connection(connections.KAFKA_CONNECTION)
        connections.check_kafka_connection(connection.extra_dejson)
        await self._on_thread(self._join)

    def _join(self) -> None:
        self._failure = None
        self._consumer = kafka_clients.new_consumer(self._topic, self._failed)
        self._consumer.subscribe(
            [self._topic],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._lost,
        )

    async def receive(self, limit: int) -> list[ReceivedMessage]:
        """Return the next messages, at most ``limit``; an empty list if none arrives in a poll.

        Raises:
            BlockedError: Kafka refuses the login, the topic or the consumer group.
            TransientError: Kafka does not answer, and another consumer has to be opened.
        """
        return await self._on_thread(self._receive, limit)

    def _receive(self, limit: int) -> list[ReceivedMessage]:
        consumer = self._joined_consumer()
        if self._paused:
            self._paused = False
            consumer.resume(consumer.assignment())
        # Compared with None: a message without a value is false.
        if (first := self._poll()) is None:
            return []
        messages = [first]
        if limit > 1:
            messages += [m for m in consumer.consume(limit - 1, 0.005) if self._is_message(m)]
            self._settle()
        return [
            ReceivedMessage(message, self._partitions.read(consumer, message))
            for message in messages
            if partition_of(message) in self._partitions
        ]

    def _poll(self) -> Message | None:
        message = self._joined_consumer().poll(POLL_SECONDS)
        message = message if message is not None and self._is_message(message) else None
        self._settle()
        return message

    def _settle(self) -> None:
        """Do what the callbacks of a poll have left to do.

        Raises:
            TransientError: this consumer has to be replaced.
        """
        if self._failure:
            raise self._failure
        if self._assigned_now:
            self._assigned_now = False
            if self._paused:
                # The client assigns the partitions after the callback. Only then can they be
                # paused.
                consumer = self._joined_consumer()
                consumer.pause(consumer.assignment())

    def take_gaps(self) -> list[FoundGap]:
        """Return the gaps in the partitions that were found since the last call."""
        return self._partitions.take_gaps()

    async def pause(self) -> None:
        """Pause the partitions for one poll, without leaving the group: the wait may be long.

        The next :meth:`receive` resumes them.

        Raises:
            TransientError: as in :meth:`receive`.
        """
        await self._on_thread(self._pause)

    def _pause(self) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        consumer = self._joined_consumer()
        if not self._paused:
            self._paused = True
            consumer.pause(consumer.assignment())
        if (message := self._poll()) is None:
            return
        # It was on its way when its partition was assigned. It is not kept, but read again later.
        try:
            consumer.seek(TopicPartition(*partition_of(message), message.offset()))
        except KafkaException as error:
            raise TransientError(f"Kafka cannot go back to a message ({error}).") from None

    def finish(self, *pending: PendingOffset) -> None:
        """Note that the runs of a message exist, or that the message is a dead letter."""
        self._partitions.finish(pending)

    async def commit(self) -> None:
        """Commit the offsets of the finished messages.

        Raises:
            BlockedError: as in :meth:`receive`.
        """
        if self._partitions.ready():
            await self._on_thread(self._commit)
            if self._failure:
                raise self._failure

    def _commit(self, partitions: Sequence[Partition] = ()) -> None:
        """Commit the offsets that are ready, of all partitions if none is given."""
        from confluent_kafka import KafkaException, TopicPartition

        if not (ready := self._partitions.ready(partitions)):
            return
        offsets = [
            TopicPartition(*partition, offset, self._partitions.metadata(partition, offset))
            for partition, offset in ready.items()
        ]
        try:
            self._joined_consumer().commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            # The next member that has the partition reads these messages again, and finds that
            # their runs exist.
            self._failed(error.args[0], "Offsets not committed: ")
        else:
            self._partitions.committed(ready)

    async def lag(self) -> Lag:
        """Return the number of waiting messages.

        It is read by a client of its own: the broker answers a client after the fetch of messages
        that it holds open for the client, and messages would wait meanwhile.
        """
        return await self._on_thread(self._lag, thread=self._lag_thread)

    def _lag(self) -> Lag:
        if self._consumer is None:
            return Lag({}, len(self._partitions.numbers))
        if self._lag_client is None:
            self._lag_client = kafka_clients.new_observer(self._topic)
        self._lag_client.poll(0)  # Serves the callbacks of the client, such as that for a login.
        return self._partitions.lag(self._lag_client)

    async def close(self) -> None:
        """Commit the offsets of the finished messages and leave the group."""
        await asyncio.shield(self._on_thread(self._close))
        await asyncio.shield(self._on_thread(self._close_lag_client, thread=self._lag_thread))

    def _close(self) -> None:
        if self._consumer is not None:
            self._commit()
            self._consumer.close()
            self._consumer = None
        self._partitions.forget_all()
        self._paused = self._assigned_now = False

    def _close_lag_client(self) -> None:
        if self._lag_client is not None:
            self._lag_client.close()
            self._lag_client = None

    def stop(self) -> None:
        """End the threads of a closed consumer."""
        self._thread.shutdown(wait=False)
        self._lag_thread.shutdown(wait=False)

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        log.info("Partitions assigned: %s", _numbers(partitions))
        try:
            self._partitions.begin(consumer, partitions)
        except TransientError as error:
            self._failure = error
        self._assigned_now = True

    def _revoked(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        revoked = [Partition(one.topic, one.partition) for one in partitions]
        log.info("Partitions revoked: %s", _numbers(partitions))
        if revoked:
            self._commit(revoked)
        self._partitions.forget(revoked)

    def _lost(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        log.warning("Partitions lost to another member: %s", _numbers(partitions))
        self._partitions.forget(Partition(one.topic, one.partition) for one in partitions)

    def _is_message(self, message: Message) -> bool:
        """Return whether ``message`` is a message: the Kafka client delivers errors as messages."""
        from confluent_kafka import KafkaError

        error = message.error()
        if error is None:
            return True
        if error.code() != KafkaError._PARTITION_EOF:
            self._failed(error)
        return False

    def _failed(self, error: KafkaError, what: str = "Kafka: ") -> None:
        """Log an error, or have this consumer replaced if it cannot recover from it."""
        if kafka_clients.is_refusal(error):
            self._failure = kafka_clients.refusal(error)
        else:
            self._limited(logging.WARNING, f"{what}{error.str()}")

    def _joined_consumer(self) -> Consumer:
        assert self._consumer is not None, "open() has to be called before any other method"
        return self._consumer

    def _on_thread(
        self, function: Callable[..., T], *arguments: Any, thread: ThreadPoolExecutor | None = None
    ) -> asyncio.Future[T]:
        run = contextvars.copy_context().run  # The log of the task is in the context.
        thread = thread or self._thread
        return asyncio.get_running_loop().run_in_executor(thread, run, function, *arguments)


def _numbers(partitions: Sequence[TopicPartition]) -> str:
    return ", ".join(str(one.partition) for one in partitions) or "none"
