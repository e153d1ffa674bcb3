"""Start the runs of dead letters, after the cause was fixed.

A replay reads the dead-letter topic and starts the runs as the listener would.
It writes nothing to Kafka and commits nothing. A dead letter whose runs exist
counts as a duplicate; one for which still no run can be started stays on the
topic, and is not written to it again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook, get_current_context, task

from xray.airflow import config, connections
from xray.airflow.api import RunsClient
from xray.airflow.blocked import tells_if_blocked
from xray.airflow.connections import KAFKA_SECONDS
from xray.airflow.jobs.backfill import parse_time
from xray.airflow.listener.dead_letters import LEFT_OUT_HEADER, REASON_HEADER
from xray.airflow.listener.kafka_clients import failure, is_refusal, new_consumer, refusal
from xray.airflow.listener.run_starter import RunStarter
from xray.airflow.unexpected import without_messages
from xray.errors import TransientError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

log = logging.getLogger(__name__)

BATCH = 100
"""Dead letters in progress at once."""
SILENCE_SECONDS = 30.0
"""How long Kafka may deliver nothing before the end of the topic is reached."""
TELLS_END = {"enable.partition.eof": True}
"""The property of a consumer that is told of the end of each partition.

The last offset may have no message: compaction has removed it, it marks the end of a transaction,
or its transaction is still open.
"""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letter topic."""

    value: bytes | None
    headers: Mapping[str, str]

    @classmethod
    def from_message(cls, message: Message) -> DeadLetter:
        """Return the dead letter in a Kafka ``message``."""
        headers = {
            name: (text or b"").decode("utf-8", "replace") for name, text in message.headers() or ()
        }
        return cls(message.value(), headers)

    @property
    def reason(self) -> str:
        """The reason why no run could be started."""
        return self.headers.get(REASON_HEADER, "")

    @property
    def left_out(self) -> bool:
        """Whether the message was too large to be copied; its headers say where it is."""
        return LEFT_OUT_HEADER in self.headers


def read_dead_letters(
    consumer: Consumer, topic: str, since: datetime | None
) -> Iterator[DeadLetter]:
    """Yield the dead letters that are on the topic now, oldest first in each partition.

    Args:
        consumer: reads the topic, without a subscription, with the property :data:`TELLS_END`.
        topic: the dead-letter topic.
        since: only dead letters written at this time or later.

    Raises:
        BlockedError: Kafka refuses the account.
        TransientError: Kafka does not answer.
    """
    from confluent_kafka import KafkaError, TopicPartition

    earliest = int(since.timestamp() * 1000) if since else 0
    begins, ends = _offsets(consumer, topic, earliest)
    unread = {number: end for number, end in ends.items() if begins[number] < end}
    consumer.assign([TopicPartition(topic, number, begins[number]) for number in unread])
    delivered_at = time.monotonic()
    while unread:
        message = consumer.poll(1.0)
        error = message.error() if message is not None else None
        if error is not None and error.code() == KafkaError._PARTITION_EOF:
            unread.pop(message.partition(), None)
            continue
        if error is not None and is_refusal(error):
            raise refusal(error)
        if message is None or error is not None:
            if time.monotonic() - delivered_at > SILENCE_SECONDS:
                raise TransientError(
                    f"Kafka stopped delivering messages before the end of the topic {topic}."
                )
            continue
        delivered_at = time.monotonic()
        if (end := unread.get(message.partition())) is not None:
            if message.offset() < end and (not earliest or _written(message) >= earliest):
                yield DeadLetter.from_message(message)
            if message.offset() >= end - 1:
                del unread[message.partition()]


def _written(message: Message) -> int:
    """Return when a message was written, in milliseconds since 1970."""
    milliseconds: int = message.timestamp()[1]
    return milliseconds


def _offsets(
    consumer: Consumer, topic: str, earliest: int
) -> tuple[dict[int, int], dict[int, int]]:
    """Return the first offset to read and the offset after the last one, for each partition.

    Messages before ``earliest``, in milliseconds since 1970, may be among those to read: if a
    broker finds no offset for a time, as the embedded one does, all messages are.
    """
    from confluent_kafka import KafkaException, TopicPartition

    try:
        numbers = consumer.list_topics(topic, timeout=KAFKA_SECONDS).topics[topic].partitions
        partitions = [TopicPartition(topic, number) for number in numbers]
        watermarks = {
            one.partition: consumer.get_watermark_offsets(one, KAFKA_SECONDS) for one in partitions
        }
        begins = {number: low for number, (low, _) in watermarks.items()}
        if earliest:
            times = [TopicPartition(topic, number, earliest) for number in numbers]
            found = consumer.offsets_for_times(times, KAFKA_SECONDS)
            begins |= {one.partition: one.offset for one in found if one.offset >= 0}
    except KafkaException as error:
        raise failure(
            error.args[0], f"Kafka does not tell the offsets of the topic {topic}"
        ) from None
    return begins, {number: high for number, (_, high) in watermarks.items()}


async def replay(
    letters: Iterator[DeadLetter],
    starter: RunStarter,
    *,
    reason: str = "",
    dry_run: bool = False,
) -> dict[str, Any]:
    """Start the runs of the dead letters whose reason contains ``reason``.

    Returns:
        The counts: ``letters`` read, ``replayed``, runs ``started``, ``duplicate`` runs, letters
        ``still_bad``. And ``reasons``: how often each reason occurs among those still bad or, in a
        dry run, among those that would be replayed.
    """
    counts: Counter[str] = Counter(letters=0, replayed=0, started=0, duplicate=0, still_bad=0)
    reasons: Counter[str] = Counter()
    batch: list[DeadLetter] = []

    async def start_batch() -> None:
        for result in await asyncio.gather(*(starter.start_runs(letter.value) for letter in batch)):
            counts.update(result.counts)
            counts["still_bad"] += result.dead_letter_reason is not None
            if result.dead_letter_reason is not None:
                reasons[result.dead_letter_reason] += 1
        log.info("%s", dict(counts))
        batch.clear()

    # Reading the letters blocks; nothing else runs in the event loop of this task.
    for letter in letters:
        counts["letters"] += 1
        if reason not in letter.reason:
            continue
        if dry_run or letter.left_out:
            counts["left_out"] += letter.left_out
            reasons[letter.reason] += 1
            continue
        counts["replayed"] += 1
        batch.append(letter)
        if len(batch) >= BATCH:
            await start_batch()
    await start_batch()
    return {**counts, "reasons": dict(reasons.most_common())}


@task
@without_messages()
@tells_if_blocked()
def replay_letters() -> dict[str, Any]:
    """Start the runs of the dead letters that the params select; return the counts."""
    params = get_current_context()["params"]
    since = parse_time(params["since"])
    consumer = new_consumer(config.DEAD_LETTER_TOPIC, _raise_refusal, TELLS_END)
    try:
        letters = read_dead_letters(consumer, config.DEAD_LETTER_TOPIC, since)
        result = asyncio.run(_replay(letters, params["reason"] or "", params["dry_run"]))
    finally:
        consumer.close()
    log.info("%s", result)
    return result


def _raise_refusal(error: KafkaError) -> None:
    """Raise a refusal of Kafka, from the poll that reports it; the client mends other errors."""
    if is_refusal(error):
        raise refusal(error)


async def _replay(letters: Iterator[DeadLetter], reason: str, dry_run: bool) -> dict[str, Any]:
    connection = BaseHook.get_connection(connections.API_CONNECTION)
    async with RunsClient.from_connection(connection) as client:
        starter = RunStarter(
            client,
            dag_id=config.CASE_DAG,
            keyring=config.keyring(),
            settings=config.settings(),
            wait=False,  # The task is retried instead.
        )
        return await replay(letters, starter, reason=reason, dry_run=dry_run)
