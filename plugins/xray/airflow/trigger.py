"""The trigger behind the sensor: notifications in, one DAG run each out.

Its contract: an offset is committed only after every run that its message asks
for exists, or after the message has been delivered to the dead-letter topic.
Whatever dies in between, the message comes again; a run that exists already is
recognised by its id. So a message may be worked on twice, and starts one run.

The consumer belongs to one thread of its own: the Kafka client blocks, and the
event loop is shared by all triggers of the process.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseHook
from airflow.triggers.base import BaseTrigger, TriggerEvent

from xray.airflow import deployment
from xray.airflow.runs import RunRefusedError, RunsClient, Started
from xray.case import Source
from xray.errors import NotificationError, PassingError, SettingsError
from xray.notification import parse
from xray.settings import Settings

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, Producer

log = logging.getLogger(__name__)

T = TypeVar("T")

POLL_SECONDS = 0.5
"""How long a poll waits; also how long a stopping trigger waits for its thread."""
KEEP_ALIVE_SECONDS = 2.0
"""How often a consumer that waits for the API polls, so that its group keeps it."""
LONGEST_PAUSE = 30.0
"""Seconds between two tries of a call that keeps failing, at most."""
DEAD_LETTER_SECONDS = 60.0
"""How long the broker may take to confirm a dead letter."""


class NotificationTrigger(BaseTrigger):
    """Starts runs for bucket notifications until it is cancelled; it never fires.

    Args:
        topic: where the notifications are.
        dead_letter_topic: where messages go that no run can be started for.
        dag_id: the DAG to start.
        batch: messages taken at once, at most.
        concurrency: calls of the API under way at once, at most.
    """

    def __init__(
        self,
        topic: str = deployment.TOPIC,
        dead_letter_topic: str = deployment.DEAD_LETTER_TOPIC,
        dag_id: str = deployment.CASE_DAG,
        batch: int = 100,
        concurrency: int = 8,
    ) -> None:
        super().__init__()
        self.topic = topic
        self.dead_letter_topic = dead_letter_topic
        self.dag_id = dag_id
        self.batch = batch
        self.concurrency = concurrency

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class's path and every argument, as Airflow stores them."""
        return (
            "xray.airflow.trigger.NotificationTrigger",
            {
                "topic": self.topic,
                "dead_letter_topic": self.dead_letter_topic,
                "dag_id": self.dag_id,
                "batch": self.batch,
                "concurrency": self.concurrency,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Consume for ever.

        Raises:
            SettingsError: a connection or variable is missing or wrong.
        """
        secret = await asyncio.to_thread(deployment.pseudonym_secret)
        settings = await asyncio.to_thread(deployment.settings)
        connection = await BaseHook.aget_connection(deployment.API_CONNECTION)
        intake = Intake(topic=self.topic, dead_letter_topic=self.dead_letter_topic)
        try:
            await intake.open()
            async with RunsClient.from_connection(
                connection, concurrency=self.concurrency
            ) as client:
                desk = Desk(client, dag_id=self.dag_id, secret=secret, settings=settings)
                while True:
                    if messages := await intake.take(self.batch):
                        await self._work(intake, desk, messages)
        finally:
            await intake.close()
        yield TriggerEvent(None)  # Never reached: it makes this an asynchronous generator.

    async def _work(self, intake: Intake, desk: Desk, messages: Sequence[Message]) -> None:
        """One batch: its runs, its dead letters, and only then its offsets."""
        began = time.monotonic()
        answers = await intake.alive_while(
            asyncio.gather(*(desk.answer(message.value()) for message in messages))
        )
        dead = [(m, a.dead) for m, a in zip(messages, answers, strict=True) if a.dead]
        if dead:
            await intake.bury(dead)
        await intake.commit(messages)
        counts: Counter[str] = sum((a.counts for a in answers), Counter())
        log.info(
            "%d messages in %.2f s: %d runs started, %d already there, %d parts skipped, "
            "%d dead letters",
            len(messages),
            time.monotonic() - began,
            counts[Started.NEW.value],
            counts[Started.ALREADY_THERE.value],
            counts["skipped"],
            len(dead),
        )


class Answer:
    """What came of one message."""

    __slots__ = ("counts", "dead")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.dead: str | None = None
        """Why no run could be started, if so."""


class Desk:
    """Turns a message into runs."""

    def __init__(self, client: RunsClient, *, dag_id: str, secret: str, settings: Settings) -> None:
        self._client = client
        self._dag_id = dag_id
        self._secret = secret
        self._settings = settings

    async def answer(self, message: bytes | None) -> Answer:
        """Start the runs that a ``message`` asks for; returns once they exist or never can."""
        answer = Answer()
        try:
            notification = parse(message, key_decoding=self._settings.key_decoding)
        except NotificationError as error:
            answer.dead = str(error)
            return answer
        answer.counts["skipped"] += len(notification.skipped)
        for record in notification.records:
            try:
                started = await self._start(Source.from_record(record))
                answer.counts[started.value] += 1
            except RunRefusedError as error:
                answer.dead = str(error)
        return answer

    async def _start(self, source: Source) -> Started:
        """Start one run, however long the API is away."""
        for attempt in range(1_000_000_000):
            try:
                return await self._client.start(
                    self._dag_id, source.run_id(self._secret), source.to_json()
                )
            except PassingError as error:
                pause = min(LONGEST_PAUSE, 0.5 * 2 ** min(attempt, 10)) * random.uniform(0.5, 1)  # noqa: S311
                log.warning("No run started, trying again in %.1f s: %s", pause, error)
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")


class Intake:
    """The Kafka side: a consumer that commits by hand, and a producer of dead letters."""

    def __init__(self, *, topic: str, dead_letter_topic: str) -> None:
        self._topic = topic
        self._dead_letter_topic = dead_letter_topic
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="xray-kafka")
        self._consumer: Consumer | None = None
        self._producer: Producer | None = None
        self._early: list[Message] = []
        """Messages that a poll brought while a batch was under way."""

    async def open(self) -> None:
        """Join the consumer group.

        Raises:
            SettingsError: the connection lacks something, or would commit by itself.
        """
        connection = await BaseHook.aget_connection(deployment.KAFKA_CONNECTION)
        check_kafka(connection.extra_dejson)
        await self._on_thread(self._subscribe)

    def _subscribe(self) -> None:
        from airflow.providers.apache.kafka.hooks.consume import KafkaConsumerHook

        hook = KafkaConsumerHook([self._topic], kafka_config_id=deployment.KAFKA_CONNECTION)
        self._consumer = hook.get_consumer()

    async def take(self, most: int) -> list[Message]:
        """The next messages, at most ``most``; none if none came within a poll."""
        return await self._on_thread(self._take, most)

    def _take(self, most: int) -> list[Message]:
        consumer = self._open_consumer()
        messages, self._early = self._early, []
        if not messages:
            first = consumer.poll(POLL_SECONDS)
            messages = [first] if first is not None else []
        if messages:
            messages += consumer.consume(most - len(messages), 0.005)
        return [message for message in messages if _is_message(message)]

    async def alive_while(self, work: asyncio.Future[T]) -> T:
        """The result of ``work``; the consumer stays in its group however long that takes."""
        try:
            paused = False
            while not (await asyncio.wait({work}, timeout=KEEP_ALIVE_SECONDS))[0]:
                paused = True
                await self._on_thread(self._keep_alive)
            if paused:
                await self._on_thread(self._resume)
            return work.result()
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    def _keep_alive(self) -> None:
        consumer = self._open_consumer()
        consumer.pause(consumer.assignment())
        message = consumer.poll(0)  # A partition assigned just now is not paused yet.
        if message is not None:
            self._early.append(message)

    def _resume(self) -> None:
        consumer = self._open_consumer()
        consumer.resume(consumer.assignment())

    async def commit(self, messages: Sequence[Message]) -> None:
        """Commit the offsets after ``messages``."""
        await self._on_thread(self._commit, messages)

    def _commit(self, messages: Sequence[Message]) -> None:
        from confluent_kafka import KafkaException, TopicPartition

        after: dict[tuple[str, int], int] = {}
        for message in messages:
            place = (message.topic(), message.partition())
            after[place] = max(after.get(place, 0), message.offset() + 1)
        try:
            self._open_consumer().commit(
                offsets=[TopicPartition(*place, offset) for place, offset in after.items()],
                asynchronous=False,
            )
        except KafkaException as error:
            # Most often the partition has gone to another member. It reads these messages again
            # and finds that their runs exist.
            log.warning("Offsets not committed: %s", error.args[0])

    async def bury(self, dead: Sequence[tuple[Message, str]]) -> None:
        """Deliver messages to the dead-letter topic, each with the reason; returns once they are.

        Raises:
            PassingError: the broker did not confirm all of them.
        """
        await self._on_thread(self._bury, dead)

    def _bury(self, dead: Sequence[tuple[Message, str]]) -> None:
        from airflow.providers.apache.kafka.hooks.produce import KafkaProducerHook

        if self._producer is None:
            self._producer = KafkaProducerHook(deployment.KAFKA_CONNECTION).get_producer()
        confirmed: list[bool] = []
        for message, reason in dead:
            self._producer.produce(
                self._dead_letter_topic,
                value=message.value(),
                key=message.key(),
                headers=[*(message.headers() or ()), *dead_letter_headers(message, reason)],
                on_delivery=lambda error, _: confirmed.append(error is None),
            )
            log.warning(
                "Dead letter from partition %d, offset %d: %s",
                message.partition(),
                message.offset(),
                reason,
            )
        self._producer.flush(DEAD_LETTER_SECONDS)
        if confirmed.count(True) < len(dead):
            raise PassingError(
                f"The dead-letter topic {self._dead_letter_topic} did not take "
                f"{len(dead) - confirmed.count(True)} of {len(dead)} messages; their offsets are "
                "not committed, so they come again."
            )

    async def close(self) -> None:
        """Leave the group."""
        await asyncio.shield(self._on_thread(self._close))
        self._thread.shutdown(wait=False)

    def _close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _open_consumer(self) -> Consumer:
        if self._consumer is None:
            raise RuntimeError("open() comes first")
        return self._consumer

    def _on_thread(self, function: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


def check_kafka(config: dict[str, Any]) -> None:
    """Refuse a connection that would lose messages.

    Raises:
        SettingsError: naming the property, its value, and what it must be.
    """
    wrong = None
    if str(config.get("enable.auto.commit", "true")).lower() != "false":
        wrong = (
            f'"enable.auto.commit" must be false, not {config.get("enable.auto.commit", "unset")}: '
            "otherwise offsets are committed before their runs exist"
        )
    elif not config.get("group.id"):
        wrong = '"group.id" is not set'
    elif config.get("auto.offset.reset") not in ("earliest", "smallest", "beginning"):
        wrong = '"auto.offset.reset" must be "earliest": otherwise a new group skips what waits'
    if wrong:
        raise SettingsError(f"The Airflow connection {deployment.KAFKA_CONNECTION}: {wrong}.")


def dead_letter_headers(message: Message, reason: str) -> list[tuple[str, bytes]]:
    """Where a dead letter came from, and why it is one."""
    return [
        ("xray-reason", reason.encode()),
        ("xray-topic", str(message.topic()).encode()),
        ("xray-partition", str(message.partition()).encode()),
        ("xray-offset", str(message.offset()).encode()),
        ("xray-time", str(message.timestamp()[1]).encode()),
    ]


def _is_message(message: Message) -> bool:
    """Whether this is a message; Kafka's passing errors come the same way and are logged."""
    from confluent_kafka import KafkaException

    error = message.error()
    if error is None:
        return True
    if error.fatal():
        raise KafkaException(error)
    log.warning("Kafka: %s", error.str())
    return False
