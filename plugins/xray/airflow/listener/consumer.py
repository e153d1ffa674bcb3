"""The Kafka side of the listener: a consumer that commits by hand, and dead letters.

The Kafka client blocks, so the consumer and the producer belong to a thread
each; the event loop is shared by all triggers of the process.
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
from xray.errors import SettingsError, TransientError
from xray.notification.offsets import OffsetTracker, Partition, PendingOffset

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, Producer, TopicPartition

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 0.25
"""How long a poll waits for a message."""
KAFKA_SECONDS = 10.0
"""How long a call of the broker may take."""
DEAD_LETTER_SECONDS = 60.0
"""How long the broker may take to confirm a dead letter."""
COMPLAINT_SECONDS = 15.0
"""How often the same trouble of Kafka's is logged."""


class Taken(NamedTuple):
    """A message, and the ticket that says when it is done."""

    message: Message
    ticket: PendingOffset


class Intake:
    """One member of the consumer group."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="xray-kafka")
        self._consumer: Consumer | None = None
        self._offsets = OffsetTracker()
        self._resting = False
        self._early: list[Message] = []
        """Messages of partitions that came while the member rested."""
        self._complaints: dict[int, float] = {}

    async def open(self) -> None:
        """Join the consumer group.

        Raises:
            SettingsError: the connection lacks something, or would commit by itself.
        """
        connection = await BaseHook.aget_connection(connections.KAFKA_CONNECTION)
        check_kafka(connection.extra_dejson)
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

    async def take(self, most: int) -> list[Taken]:
        """The next messages, at most ``most``; none if none came within a poll."""
        return await self._on_thread(self._take, most)

    def _take(self, most: int) -> list[Taken]:
        consumer = self._open_consumer()
        if self._resting:
            self._resting = False
            consumer.resume(consumer.assignment())
        messages, self._early = self._early, []
        # Compared with None: a message without a value is false.
        if not messages and (first := self._poll(POLL_SECONDS)) is not None:
            messages = [first]
            messages += [m for m in consumer.consume(most - 1, 0.005) if self._is_message(m)]
        return [Taken(message, self._enter(message)) for message in messages]

    def _poll(self, seconds: float) -> Message | None:
        from airflow.providers.apache.kafka.hooks.consume import KafkaAuthenticationError
        from confluent_kafka import KafkaException

        try:
            message = self._open_consumer().poll(seconds)
        except (KafkaAuthenticationError, KafkaException) as error:
            raise SettingsError(_kafka_sentence(error)) from None
        return message if message is not None and self._is_message(message) else None

    def _enter(self, message: Message) -> PendingOffset:
        return self._offsets.add(
            Partition(str(message.topic()), int(message.partition())), int(message.offset())
        )

    async def rest(self) -> None:
        """Take nothing, and stay in the group: what it waits for may take long."""
        await self._on_thread(self._rest)

    def _rest(self) -> None:
        consumer = self._open_consumer()
        if not self._resting:
            self._resting = True
            consumer.pause(consumer.assignment())
        if (message := self._poll(POLL_SECONDS)) is not None:
            self._early.append(message)  # It was on its way when its partition was paused.

    def done(self, ticket: PendingOffset) -> None:
        """A message's runs exist, or it has been kept as a dead letter."""
        self._offsets.finish(ticket)

    async def commit(self) -> None:
        """Commit the offsets of all that is done."""
        if self._offsets.ready():
            await self._on_thread(self._commit)

    def _commit(self, *places: Partition) -> None:
        """Commit what is ready, of the ``places`` if some are given."""
        from confluent_kafka import KafkaException, TopicPartition

        ready = self._offsets.ready()
        if places:
            ready = {place: ready[place] for place in places if place in ready}
        if not ready:
            return
        try:
            self._open_consumer().commit(
                offsets=[TopicPartition(*place, offset) for place, offset in ready.items()],
                asynchronous=False,
            )
            self._offsets.committed(ready)
        except KafkaException as error:
            # Whoever has the partition next reads these messages again and finds that their
            # runs exist.
            self._complain(error.args[0], "Offsets not committed: %s")

    async def behind(self) -> dict[int, int]:
        """How many messages wait in each partition of this member, as far as it knows."""
        return await self._on_thread(self._behind)

    def _behind(self) -> dict[int, int]:
        from confluent_kafka import KafkaException

        consumer = self._open_consumer()
        found = {}
        try:
            places = consumer.position(consumer.assignment())
            unread = [place for place in places if place.offset < 0]
            known = {place.partition: place.offset for place in places}
            if unread:
                committed = consumer.committed(unread, timeout=KAFKA_SECONDS)
                known |= {place.partition: place.offset for place in committed}
            for place in places:
                low, high = consumer.get_watermark_offsets(place, cached=True)
                if high >= 0:
                    found[place.partition] = max(0, high - max(low, known[place.partition]))
        except KafkaException as error:
            self._complain(error.args[0], "The lag is not known: %s")
        return found

    async def close(self) -> None:
        """Commit what is done and leave the group."""
        await asyncio.shield(self._on_thread(self._close))
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._consumer is not None:
            self._commit()
            self._consumer.close()
            self._consumer = None

    def _assigned(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        log.info("Partitions assigned: %s", _numbers(partitions))
        if self._resting:
            consumer.pause(partitions)

    def _revoked(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        places = [Partition(one.topic, one.partition) for one in partitions]
        log.info("Partitions revoked: %s", _numbers(partitions))
        if places:
            self._commit(*places)
        self._give_up(places)

    def _lost(self, _: Consumer, partitions: Sequence[TopicPartition]) -> None:
        log.warning("Partitions lost to another member: %s", _numbers(partitions))
        self._give_up([Partition(one.topic, one.partition) for one in partitions])

    def _give_up(self, places: Sequence[Partition]) -> None:
        gone = set(places)
        if gone:
            self._offsets.forget(*gone)
        self._early = [m for m in self._early if Partition(m.topic(), m.partition()) not in gone]

    def _is_message(self, message: Message) -> bool:
        """Whether this is a message; Kafka's troubles come the same way."""
        from confluent_kafka import KafkaError

        error = message.error()
        if error is None:
            return True
        if error.fatal() or error.code() in (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
        ):
            raise SettingsError(_kafka_sentence(error))
        if error.code() != KafkaError._PARTITION_EOF:
            self._complain(error, "Kafka: %s")
        return False

    def _complain(self, error: Any, words: str) -> None:
        now = time.monotonic()
        if now - self._complaints.get(error.code(), float("-inf")) >= COMPLAINT_SECONDS:
            log.warning(words, error.str())
            self._complaints[error.code()] = now

    def _open_consumer(self) -> Consumer:
        if self._consumer is None:
            raise RuntimeError("open() comes first")
        return self._consumer

    def _on_thread(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


class DeadLetters:
    """Keeps messages on the dead-letter topic."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="xray-dead-letters")
        self._producer: Producer | None = None

    async def keep(self, message: Message, reason: str) -> None:
        """Deliver a message to the topic as it is, with headers that say why; returns once it is.

        Raises:
            TransientError: the broker did not confirm it.
        """
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._keep, message, reason)
        log.warning(
            "Dead letter from partition %d, offset %d: %s",
            message.partition(),
            message.offset(),
            reason,
        )

    def _keep(self, message: Message, reason: str) -> None:
        from confluent_kafka import KafkaError

        headers = [*(message.headers() or ()), *dead_letter_headers(message, reason)]
        error = self._deliver(message.key(), message.value(), headers)
        if error is not None and error.code() == KafkaError.MSG_SIZE_TOO_LARGE:
            # With its headers it is larger than it was. What it was is still where it came from.
            size = len(message.value() or b"")
            error = self._deliver(
                None, None, [*headers, ("xray-left-out", f"{size} bytes".encode())]
            )
        if error is not None:
            raise TransientError(
                f"The dead-letter topic {self._topic} does not take a message ({error.str()}): "
                "check that it exists and that the account of the connection "
                f"{connections.KAFKA_CONNECTION} may write to it."
            )

    def _deliver(
        self, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]
    ) -> Any:
        """The error, if the broker has not confirmed it."""
        from airflow.providers.apache.kafka.hooks.produce import KafkaProducerHook
        from confluent_kafka import KafkaError, KafkaException

        if self._producer is None:
            self._producer = KafkaProducerHook(connections.KAFKA_CONNECTION).get_producer()
        answers: list[Any] = []
        try:
            self._producer.produce(
                self._topic,
                key=key,
                value=value,
                headers=headers,
                on_delivery=lambda error, _: answers.append(error),
            )
        except KafkaException as error:
            return error.args[0]
        deadline = time.monotonic() + DEAD_LETTER_SECONDS
        while not answers and time.monotonic() < deadline:
            self._producer.poll(1.0)
        return answers[0] if answers else KafkaError(KafkaError._TIMED_OUT)

    def close(self) -> None:
        """End the thread; nothing is under way when the listener ends orderly."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def check_kafka(config: dict[str, Any]) -> None:
    """Refuse a connection that would lose messages.

    Raises:
        SettingsError: naming the property, its value, and what it must be.
    """
    wrong = None
    if not config.get("bootstrap.servers"):
        wrong = '"bootstrap.servers" is not set'
    elif str(config.get("enable.auto.commit", "true")).lower() != "false":
        wrong = (
            f'"enable.auto.commit" must be false, not {config.get("enable.auto.commit", "unset")}: '
            "otherwise offsets are committed before their runs exist"
        )
    elif not config.get("group.id"):
        wrong = '"group.id" is not set'
    elif config.get("auto.offset.reset") not in ("earliest", "smallest", "beginning"):
        wrong = '"auto.offset.reset" must be "earliest": otherwise a new group skips what waits'
    if wrong:
        raise SettingsError(f"The Airflow connection {connections.KAFKA_CONNECTION}: {wrong}.")


def dead_letter_headers(message: Message, reason: str) -> list[tuple[str, bytes]]:
    """Why a message is a dead letter, and where and when it came."""
    return [
        ("xray-reason", reason.encode()),
        ("xray-topic", str(message.topic()).encode()),
        ("xray-partition", str(message.partition()).encode()),
        ("xray-offset", str(message.offset()).encode()),
        ("xray-time", str(message.timestamp()[1]).encode()),
    ]


def _kafka_sentence(error: Any) -> str:
    return (
        f"Kafka refuses the connection {connections.KAFKA_CONNECTION} ({error}): check its login, "
        "and that its account may read the topic and use the consumer group."
    )


def _numbers(partitions: Sequence[TopicPartition]) -> str:
    return ", ".join(str(one.partition) for one in partitions) or "none"
