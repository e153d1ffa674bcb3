"""The partitions that a member of the consumer group has: where it reads, commits and waits."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from xray.airflow.connections import KAFKA_SECONDS
from xray.airflow.listener.backoff import LimitedLog
from xray.airflow.listener.gaps import Gap, Positions
from xray.airflow.listener.kafka_clients import failure
from xray.errors import TransientError
from xray.notification import OffsetTracker, Partition, PendingOffset

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message, TopicPartition

log = logging.getLogger(__name__)

LAG_TIMEOUT = 1.0
"""Seconds that the lag of one partition may take to read."""


class FoundGap(NamedTuple):
    """Lost messages, and their offsets, which are pending until their objects are looked for."""

    gap: Gap
    pending: list[PendingOffset]


class Lag(NamedTuple):
    """The messages that wait."""

    waiting: dict[int, int]
    """The number of messages for each partition."""
    unknown: int
    """The number of partitions of which it cannot be read."""


class Partitions:
    """The partitions of a member. The methods with a consumer block, and may call its broker."""

    def __init__(self) -> None:
        self._offsets = OffsetTracker()
        self._positions = Positions()
        self._assigned: frozenset[Partition] = frozenset()
        self._gaps: list[FoundGap] = []
        self._beginnings: dict[Partition, int] = {}
        """Where a new group begins, which is not committed yet."""
        self._limited = LimitedLog(log)

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of the partitions."""
        return frozenset(one.partition for one in self._assigned)

    def __contains__(self, partition: Partition) -> bool:
        return partition in self._assigned

    def begin(self, consumer: Consumer, assigned: Sequence[TopicPartition]) -> None:
        """Look up where to read, before the first message is read.

        Raises:
            TransientError: Kafka does not tell.
        """
        from confluent_kafka import KafkaException

        if not assigned:
            return
        try:
            committed = consumer.committed(list(assigned), timeout=KAFKA_SECONDS)
        except KafkaException as error:
            raise failure(error.args[0], "Kafka does not tell the committed offsets") from None
        for one in committed:
            if one.error:
                raise failure(one.error, "Kafka does not tell the committed offsets")
            partition, offset = Partition(one.topic, one.partition), int(one.offset)
            low, high = watermarks(consumer, partition, KAFKA_SECONDS)
            if offset < 0:
                self._begin_uncommitted(partition, low, high)
            elif offset > high:  # The topic was created again.
                self._positions.begin(partition, low, None)
            else:
                self._positions.begin(partition, offset, one.metadata)
                if low == high:  # There is no message that shows the gap.
                    self._find_gap(partition, (offset, low), low, datetime.now(UTC))
        self._assigned |= {Partition(one.topic, one.partition) for one in assigned}

    def _begin_uncommitted(self, partition: Partition, low: int, high: int) -> None:
        if low > 0:
            log.warning(
                "The consumer group has no offset of partition %d, which begins at offset %d: if "
                "no other group has read the messages before it, look for their objects with "
                "xray_reconcile or xray_backfill.",
                partition.partition,
                low,
            )
        self._positions.begin(
            partition, low, datetime.now(UTC).isoformat() if low == high else None
        )
        self._beginnings[partition] = low

    def read(self, consumer: Consumer, message: Message) -> PendingOffset:
        """Note that a message was read, and find the gap before it, if any.

        Raises:
            TransientError: Kafka does not tell whether there is one.
        """
        partition, offset = partition_of(message), int(message.offset())
        milliseconds = message.timestamp()[1]
        time = datetime.fromtimestamp(max(0, milliseconds) / 1000, UTC)
        if milliseconds <= 0:
            time = datetime.now(UTC)
        expected = self._positions.next_offset(partition)
        if expected is not None and offset > expected:
            # The offsets of a compacted topic and those of transactions are not consecutive.
            low, _ = watermarks(consumer, partition, KAFKA_SECONDS)
            self._find_gap(partition, (expected, min(low, offset)), offset, time)
        self._positions.read(partition, offset, time)
        return self._offsets.add(partition, offset)

    def _find_gap(
        self, partition: Partition, missing: tuple[int, int], begin: int, until: datetime
    ) -> None:
        """Note that the offsets from the first of ``missing`` to before the second are gone."""
        first, end = missing
        if end <= first:
            return
        gap = Gap(partition, first, end, self._positions.time(partition), until)
        # With the first offset pending, no later one is committed. The last one makes ``begin``
        # the next to commit.
        pending = [self._offsets.add(partition, one) for one in sorted({first, begin - 1})]
        self._positions.skip(partition, begin)
        self._gaps.append(FoundGap(gap, pending))

    def take_gaps(self) -> list[FoundGap]:
        """Return the gaps that were found since the last call."""
        gaps, self._gaps = self._gaps, []
        return gaps

    def finish(self, pending: Iterable[PendingOffset]) -> None:
        """Note that messages are finished."""
        for one in pending:
            self._offsets.finish(one)

    def ready(self, of: Iterable[Partition] = ()) -> dict[Partition, int]:
        """Return the offsets that may be committed, of all partitions if none is given."""
        ready, wanted = self._beginnings | self._offsets.ready(), set(of)
        return {one: offset for one, offset in ready.items() if not wanted or one in wanted}

    def metadata(self, partition: Partition, offset: int) -> str:
        """Return what to commit with an ``offset``."""
        return self._positions.metadata(partition, offset)

    def committed(self, offsets: dict[Partition, int]) -> None:
        """Note that ``offsets`` were committed."""
        self._offsets.committed(offsets)
        for one in offsets:
            self._beginnings.pop(one, None)

    def forget(self, partitions: Iterable[Partition]) -> None:
        """Forget partitions that another member has now."""
        gone = set(partitions)
        if gone:
            self._offsets.forget(*gone)
        for one in gone:
            self._positions.forget(one)
            self._beginnings.pop(one, None)
        self._gaps = [one for one in self._gaps if one.gap.partition not in gone]
        self._assigned -= gone

    def forget_all(self) -> None:
        """Forget all partitions."""
        self.forget(self._assigned)

    def lag(self, consumer: Consumer) -> Lag:
        """Return the number of messages that wait; partitions may come and go meanwhile."""
        waiting: dict[int, int] = {}
        for partition in sorted(self._assigned):
            position = self._positions.next_offset(partition)
            try:
                low, high = watermarks(consumer, partition, LAG_TIMEOUT)
            except TransientError as error:
                self._limited(logging.WARNING, f"The lag is not known. {error}")
                break  # The other partitions would take as long.
            if position is not None:
                begin = low if position > high else max(low, position)
                waiting[partition.partition] = high - begin
        return Lag(waiting, max(0, len(self._assigned) - len(waiting)))


def partition_of(message: Message) -> Partition:
    """Return the partition of a message."""
    return Partition(str(message.topic()), int(message.partition()))


def watermarks(consumer: Consumer, partition: Partition, seconds: float) -> tuple[int, int]:
    """Return the first offset of a partition and the offset after the last one.

    Raises:
        TransientError: Kafka does not tell within so many ``seconds``.
    """
    from confluent_kafka import KafkaException, TopicPartition

    try:
        low, high = consumer.get_watermark_offsets(TopicPartition(*partition), timeout=seconds)
    except KafkaException as error:
        sentence = f"Kafka does not tell the offsets of the topic {partition.topic}"
        raise failure(error.args[0], sentence) from None
    return low, high
