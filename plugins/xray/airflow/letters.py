"""The newest dead letters, for people: when and why, and nothing of the messages themselves.

A message holds an object key, which may name a patient. Of a message, only its size is kept, and of
its headers only those that the listener writes: its reasons name nobody.

The topic is read from the end of each partition, within a few seconds. The consumer joins no group
and commits nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from xray.airflow.connections import KAFKA_CONNECTION
from xray.airflow.listener.dead_letters import (
    LEFT_OUT_HEADER,
    OFFSET_HEADER,
    PARTITION_HEADER,
    REASON_HEADER,
    TOPIC_HEADER,
)
from xray.airflow.listener.kafka_clients import failure, is_refusal, new_consumer, refusal
from xray.errors import SettingsError, TransientError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

MOST = 100
"""Letters that are read of each partition, and returned of all."""
SECONDS = 5.0
"""How long a reading may take."""
MAX_REASON = 300
"""Characters that are kept of a reason. Those of the listener are shorter."""
READS_ONLY = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,  # The last offset may have no message: see jobs/replay.py.
    "queued.max.messages.kbytes": 8192,  # What the API server holds of messages at once.
}
"""The properties of the consumer."""
_TOPIC = re.compile(r"[\w.-]{1,249}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,19}")
_LAST_MILLISECOND = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is known of a dead letter. A text is empty if the header is missing or odd."""

    written: datetime
    reason: str
    """Cut off at :data:`MAX_REASON` characters."""
    topic: str
    """Of the original message, like the next two."""
    partition: str
    offset: str
    size: int | None
    """Of the original message, in bytes; None if it is not known."""
    left_out: bool
    """Whether the message was too large to be copied, so that no replay can start its runs."""

    @classmethod
    def of(cls, message: Message) -> Letter:
        """Return what is known of the dead letter in a Kafka ``message``."""
        headers = {
            name: (text or b"").decode("utf-8", "replace") for name, text in message.headers() or ()
        }

        def header(name: str, form: re.Pattern[str]) -> str:
            text = headers.get(name, "")
            return text if form.fullmatch(text) else ""

        value = message.value()
        left_out = value is None and LEFT_OUT_HEADER in headers
        digits = header(LEFT_OUT_HEADER, re.compile(rf"{_NUMBER.pattern} bytes")).split(" ")[0]
        milliseconds = min(max(message.timestamp()[1], 0), _LAST_MILLISECOND)
        return cls(
            written=datetime.fromtimestamp(milliseconds / 1000, UTC),
            reason=headers.get(REASON_HEADER, "")[:MAX_REASON],
            topic=header(TOPIC_HEADER, _TOPIC),
            partition=header(PARTITION_HEADER, _NUMBER),
            offset=header(OFFSET_HEADER, _NUMBER),
            size=(int(digits) if digits else None) if left_out else len(value or b""),
            left_out=left_out,
        )


class Newest(NamedTuple):
    """The newest letters of a topic."""

    letters: list[Letter]
    """The newest first."""
    on_topic: int
    """How many letters the topic has at most: some offsets may have no message."""
    complete: bool = True
    """Whether all partitions were read in time."""
    exists: bool = True
    """Whether there is such a topic."""


def newest(topic: str, most: int = MOST, seconds: float = SECONDS) -> Newest:
    """Return the newest letters of the dead-letter topic.

    Args:
        topic: the dead-letter topic.
        most: how many letters to return at most.
        seconds: how long to read at most.

    Raises:
        SettingsError: the connection to Kafka is missing or cannot be used.
        BlockedError: Kafka refuses the account.
        TransientError: Kafka does not answer in time.
    """
    from confluent_kafka import KafkaError, KafkaException

    deadline = time.monotonic() + seconds

    def left() -> float:
        """Return the seconds that are left; not 0, which some calls take for no limit."""
        return max(0.01, deadline - time.monotonic())

    errors: list[KafkaError] = []
    consumer = _consumer(topic, errors.append)
    try:
        begins, ends = _ranges(consumer, topic, most, left)
        letters, complete = _read(consumer, topic, begins, ends, deadline)
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return Newest([], 0, exists=False)
        consumer.poll(0)  # Reports why Kafka is not reached.
        if refused := next(filter(is_refusal, errors), None):
            raise refusal(refused) from None
        raise failure(error.args[0], f"Kafka does not tell what is on the topic {topic}") from None
    finally:
        consumer.close()
    letters.sort(key=lambda letter: letter.written)
    on_topic = sum(high - low for low, high in ends.values())
    return Newest(letters[::-1][:most], on_topic, complete)


def _consumer(topic: str, on_error: Callable[[KafkaError], None]) -> Consumer:
    from airflow.sdk.exceptions import AirflowNotFoundException
    from confluent_kafka import KafkaException

    try:
        return new_consumer(topic, on_error, READS_ONLY)
    except (AirflowNotFoundException, KafkaException, ValueError):
        # The message of the error may quote the connection.
        raise SettingsError(
            f"The Airflow connection {KAFKA_CONNECTION} is not defined where the API server runs, "
            "or has a wrong property: `python -m xray check` says more."
        ) from None


def _ranges(
    consumer: Consumer, topic: str, most: int, left: Callable[[], float]
) -> tuple[dict[int, int], dict[int, tuple[int, int]]]:
    """Return the offset to begin with, and the first offset and the end, for each partition."""
    from confluent_kafka import KafkaException, TopicPartition

    described = consumer.list_topics(topic, timeout=left()).topics[topic]
    if described.error is not None:
        raise KafkaException(described.error)
    ends = {
        number: consumer.get_watermark_offsets(TopicPartition(topic, number), left())
        for number in described.partitions
    }
    begins = {number: max(low, high - most) for number, (low, high) in ends.items() if low < high}
    return begins, ends


def _read(
    consumer: Consumer,
    topic: str,
    begins: dict[int, int],
    ends: dict[int, tuple[int, int]],
    deadline: float,
) -> tuple[list[Letter], bool]:
    """Return the letters from the given offsets on, and whether the ends were reached in time."""
    from confluent_kafka import KafkaError, KafkaException, TopicPartition

    letters: list[Letter] = []
    unread = set(begins)
    consumer.assign([TopicPartition(topic, number, begin) for number, begin in begins.items()])
    while unread and (left := deadline - time.monotonic()) > 0:
        message = consumer.poll(left)
        if message is None:
            continue
        error = message.error()
        if error is None:
            end = ends[message.partition()][1]
            if message.offset() < end:
                letters.append(Letter.of(message))
            if message.offset() >= end - 1:
                unread.discard(message.partition())
        elif error.code() == KafkaError._PARTITION_EOF:
            unread.discard(message.partition())
        elif is_refusal(error):
            raise KafkaException(error)
    if unread and not letters:
        raise TransientError(f"Kafka did not deliver what is on the topic {topic} in time.")
    return letters, not unread
