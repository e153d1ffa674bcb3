"""The way back from the dead-letter topic, once what was wrong is mended.

A replay reads the topic's letters and starts their runs as the listener would.
It writes nothing to Kafka and commits nothing: a letter whose run exists is a
duplicate, one that is still bad stays a letter, and none is ever there twice.
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
from xray.airflow.listener.consumer import KAFKA_SECONDS
from xray.airflow.listener.run_starter import RunStarter
from xray.errors import TransientError

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message

log = logging.getLogger(__name__)

BATCH = 100
"""Letters under way at once."""
QUIET_SECONDS = 30.0
"""How long the broker may be silent before its end is reached."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter."""

    value: bytes | None
    headers: Mapping[str, str]

    @classmethod
    def of(cls, message: Message) -> Letter:
        """A message of the dead-letter topic."""
        headers = {
            name: (text or b"").decode("utf-8", "replace") for name, text in message.headers() or ()
        }
        return cls(message.value(), headers)

    @property
    def reason(self) -> str:
        """Why it is one."""
        return self.headers.get("xray-reason", "")

    @property
    def left_out(self) -> bool:
        """Whether it was too large to be kept: only its place on its own topic is known."""
        return "xray-left-out" in self.headers


def read_letters(consumer: Consumer, topic: str, since: datetime | None) -> Iterator[Letter]:
    """The letters that are on the topic now, oldest first in each partition."""
    from confluent_kafka import KafkaException, TopicPartition

    try:
        partitions = consumer.list_topics(topic, timeout=KAFKA_SECONDS).topics[topic].partitions
        places = [TopicPartition(topic, number) for number in partitions]
        ends = {p.partition: consumer.get_watermark_offsets(p, KAFKA_SECONDS) for p in places}
        if since:
            stamp = int(since.timestamp() * 1000)
            asked = [TopicPartition(topic, p.partition, stamp) for p in places]
            begins = {
                p.partition: p.offset for p in consumer.offsets_for_times(asked, KAFKA_SECONDS)
            }
        else:
            begins = {number: low for number, (low, _) in ends.items()}
    except KafkaException as error:
        raise TransientError(f"Kafka does not show the topic {topic} ({error}).") from None
    left = {n: high for n, (_, high) in ends.items() if 0 <= begins[n] < high}
    consumer.assign([TopicPartition(topic, number, begins[number]) for number in left])
    heard = time.monotonic()
    while left:
        message = consumer.poll(1.0)
        if message is None or message.error():
            if time.monotonic() - heard > QUIET_SECONDS:
                raise TransientError(f"Kafka went silent before the end of the topic {topic}.")
            continue
        heard = time.monotonic()
        if (end := left.get(message.partition())) is not None:
            if message.offset() < end:
                yield Letter.of(message)
            if message.offset() >= end - 1:
                del left[message.partition()]


async def replay(
    letters: Iterator[Letter], desk: RunStarter, *, reason: str = "", dry_run: bool = False
) -> dict[str, Any]:
    """Start the runs of the letters whose reason holds the text ``reason``.

    Returns:
        How many letters were read and matched, what came of them, and the reasons of those that
        are still bad (or, of a dry run, of those that would be tried) with their counts.
    """
    counts: Counter[str] = Counter(letters=0, replayed=0, started=0, duplicate=0, still_bad=0)
    reasons: Counter[str] = Counter()
    batch: list[Letter] = []

    async def send() -> None:
        for answer in await asyncio.gather(*(desk.answer(letter.value) for letter in batch)):
            counts.update(answer.counts)
            counts["still_bad"] += answer.dead is not None
            if answer.dead is not None:
                reasons[answer.dead] += 1
        log.info("%s", dict(counts))
        batch.clear()

    # The letters come from a client that blocks; nothing else runs in this task's event loop.
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
            await send()
    await send()
    return {**counts, "reasons": dict(reasons.most_common())}


@task
def replay_letters() -> dict[str, Any]:
    """Start the runs of the dead letters that the params choose; says what is still bad."""
    from airflow.providers.apache.kafka.hooks.consume import KafkaConsumerHook

    params = get_current_context()["params"]
    since = datetime.fromisoformat(params["since"]) if params["since"] else None
    consumer = KafkaConsumerHook([], kafka_config_id=connections.KAFKA_CONNECTION).get_conn
    try:
        letters = read_letters(consumer, config.DEAD_LETTER_TOPIC, since)
        result = asyncio.run(_replay(letters, params["reason"] or "", params["dry_run"]))
    finally:
        consumer.close()
    log.info("%s", result)
    return result


async def _replay(letters: Iterator[Letter], reason: str, dry_run: bool) -> dict[str, Any]:
    connection = BaseHook.get_connection(connections.API_CONNECTION)
    async with RunsClient.from_connection(connection) as client:
        desk = RunStarter(
            client,
            dag_id=config.CASE_DAG,
            keyring=config.keyring(),
            settings=config.settings(),
            patient=False,  # A task has retries of its own.
        )
        return await replay(letters, desk, reason=reason, dry_run=dry_run)
