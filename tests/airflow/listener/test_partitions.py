"""xray.airflow.listener.partitions: what is lost, and what only looks like it"""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from xray.airflow.listener.partitions import Lag, Partitions
from xray.errors import BlockedError, TransientError
from xray.notification import Partition

TOPIC = "storage"
ZERO = Partition(TOPIC, 0)
TIME = "2026-01-02T12:00:00+00:00"


class FakeConsumer:
    """A consumer of a topic, with the offsets that the test sets."""

    def __init__(self, low: int, high: int, committed: int = -1001, metadata: str = "") -> None:
        self.low, self.high = low, high
        self.offset, self.metadata = committed, metadata
        self.error: int | None = None
        self.asked = 0

    def committed(self, partitions: list[Any], timeout: float) -> list[Any]:
        self._check()
        return [
            TopicPartition(one.topic, one.partition, self.offset, self.metadata)
            for one in partitions
        ]

    def get_watermark_offsets(self, _: Any, timeout: float) -> tuple[int, int]:
        self._check()
        self.asked += 1
        return self.low, self.high

    def _check(self) -> None:
        if self.error is not None:
            raise KafkaException(KafkaError(self.error))


class FakeMessage:
    """A message of partition 0."""

    def __init__(self, offset: int) -> None:
        self._offset = offset

    def topic(self) -> str:
        return TOPIC

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return self._offset

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_767_400_000_000


def begun(consumer: FakeConsumer, numbers: tuple[int, ...] = (0,)) -> Partitions:
    """Partitions that were just assigned."""
    partitions = Partitions()
    partitions.begin(consumer, [TopicPartition(TOPIC, number) for number in numbers])  # type: ignore[arg-type]
    return partitions


def read(partitions: Partitions, consumer: FakeConsumer, *offsets: int) -> None:
    """Read and finish messages."""
    for offset in offsets:
        partitions.finish([partitions.read(consumer, FakeMessage(offset))])  # type: ignore[arg-type]


def test_messages_between_the_committed_and_the_first_offset_are_lost() -> None:
    consumer = FakeConsumer(low=20, high=30, committed=10, metadata=TIME)
    partitions = begun(consumer)
    assert partitions.take_gaps() == [], "the first message tells until when"
    read(partitions, consumer, 20, 21)
    ((gap, pending),) = partitions.take_gaps()
    assert (gap.first, gap.end, gap.count) == (10, 20, 10)
    assert gap.since is not None
    assert gap.since.isoformat() == TIME
    assert gap.until.year == 2026
    assert partitions.ready() == {}, "nothing is committed before the objects are looked for"
    partitions.finish(pending)
    assert partitions.ready() == {ZERO: 22}
    assert partitions.take_gaps() == [], "once"


def test_if_nothing_is_left_the_loss_is_found_at_once() -> None:
    partitions = begun(FakeConsumer(low=20, high=20, committed=10, metadata=TIME))
    ((gap, pending),) = partitions.take_gaps()
    assert (gap.first, gap.end) == (10, 20)
    partitions.finish(pending)
    assert partitions.ready() == {ZERO: 20}


@pytest.mark.parametrize("lost", [1, 2])
def test_messages_may_be_lost_while_the_listener_waits(lost: int) -> None:
    consumer = FakeConsumer(low=0, high=10, committed=0)
    partitions = begun(consumer)
    read(partitions, consumer, 0, 1)
    consumer.low = 2 + lost
    read(partitions, consumer, 2 + lost)
    ((gap, pending),) = partitions.take_gaps()
    assert (gap.first, gap.end) == (2, 2 + lost)
    assert gap.since is not None
    assert partitions.ready() == {ZERO: 2}
    partitions.finish(pending)
    assert partitions.ready() == {ZERO: 3 + lost}


def test_the_gaps_of_a_compacted_topic_are_no_loss() -> None:
    consumer = FakeConsumer(low=0, high=100, committed=0)
    partitions = begun(consumer)
    read(partitions, consumer, 3, 4, 50)
    assert partitions.take_gaps() == []
    assert partitions.ready() == {ZERO: 51}
    assert consumer.asked == 3, "Kafka is asked only where a gap is"


@pytest.mark.parametrize("high", [0, 5])
def test_a_topic_that_was_created_again_has_lost_nothing(high: int) -> None:
    consumer = FakeConsumer(low=0, high=high, committed=1000, metadata=TIME)
    partitions = begun(consumer)
    read(partitions, consumer, *range(high))
    assert partitions.take_gaps() == []
    if high:
        assert partitions.ready() == {ZERO: high}


def test_a_new_group_says_once_that_messages_were_removed_before_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    consumer = FakeConsumer(low=7, high=9)
    partitions = begun(consumer)
    assert "begins at offset 7" in caplog.text
    assert partitions.take_gaps() == []
    assert partitions.ready() == {ZERO: 7}, "committed, so that the next start says nothing"
    partitions.committed({ZERO: 7})
    assert partitions.ready() == {}


def test_a_new_group_misses_what_is_removed_before_its_first_message() -> None:
    partitions = begun(FakeConsumer(low=0, high=0))
    assert partitions.ready() == {ZERO: 0}
    metadata = partitions.metadata(ZERO, 0)
    consumer = FakeConsumer(low=5, high=6, committed=0, metadata=metadata)
    partitions = begun(consumer)
    read(partitions, consumer, 5)
    ((gap, _),) = partitions.take_gaps()
    assert (gap.first, gap.end) == (0, 5)
    assert gap.since is not None


def test_the_lag_of_what_cannot_be_read_is_not_known() -> None:
    consumer = FakeConsumer(low=0, high=10, committed=4)
    partitions = begun(consumer, (0, 1))
    assert partitions.lag(consumer) == Lag({0: 6, 1: 6}, 0)  # type: ignore[arg-type]
    consumer.error = KafkaError._TIMED_OUT
    assert partitions.lag(consumer) == Lag({}, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (KafkaError._TIMED_OUT, TransientError),
        (KafkaError.GROUP_AUTHORIZATION_FAILED, BlockedError),
    ],
)
def test_where_to_read_must_be_known(code: int, error: type[Exception]) -> None:
    consumer = FakeConsumer(low=0, high=10)
    consumer.error = code
    with pytest.raises(error):
        begun(consumer)


def test_partitions_of_another_member_are_forgotten() -> None:
    consumer = FakeConsumer(low=20, high=20, committed=10)
    partitions = begun(consumer, (0, 1))
    partitions.forget([ZERO])
    assert partitions.numbers == {1}
    assert ZERO not in partitions
    assert [found.gap.partition.partition for found in partitions.take_gaps()] == [1]
    partitions.forget_all()
    assert partitions.numbers == frozenset()
    assert partitions.ready() == {}
