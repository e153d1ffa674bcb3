"""Messages that Kafka's retention removed before they were read.

The listener knows for each partition which offset it reads next. If the partition begins after
that offset, what was in between is gone. Kafka says nothing about it: the consumer continues with
the first message that is left. The objects of the lost messages are still in their bucket, and a
run of ``xray_reconcile`` starts their cases.

To know for which time, the consumer commits with each offset the time of the last message before
it. Gaps inside a partition are no loss: a compacted topic and a topic of transactions have them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from xray.notification import Partition

RUN_PREFIX = "xray_lost__"
"""What the id of a run of ``xray_reconcile`` for lost messages starts with."""
MARGIN = timedelta(hours=1)
"""An object may have been uploaded so long before its message: the store may have waited."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The messages of one partition that were removed unread."""

    partition: Partition
    first: int
    """The first offset that is gone."""
    end: int
    """The offset after the last one that is gone."""
    since: datetime | None
    """The time of the last message before the gap, if it is known."""
    until: datetime
    """The time of the first message after the gap, or now if there is none."""

    @property
    def count(self) -> int:
        """How many messages are gone; on a compacted topic, at most."""
        return self.end - self.first

    @property
    def run_id(self) -> str:
        """The id of the run of ``xray_reconcile``, the same whenever the gap is found."""
        topic, number = self.partition
        return f"{RUN_PREFIX}{topic}.{number}.{self.first}-{self.end}"

    @property
    def conf(self) -> dict[str, Any]:
        """The conf of the run. If the beginning is not known, the DAG's own default counts."""
        since = None if self.since is None else (self.since - MARGIN).isoformat()
        return {"since": since, "until": self.until.isoformat()}

    def __str__(self) -> str:
        return (
            f"Kafka removed {self.count} messages of partition {self.partition.partition} before "
            f"they were read (offsets {self.first} to {self.end - 1}): increase the retention of "
            f"the topic {self.partition.topic}, or the number of sensors."
        )


@dataclass(slots=True)
class _Position:
    """How far one partition was read."""

    next_offset: int
    time: datetime | None
    """The time of the last message before the offset that was last committed."""
    times: deque[tuple[int, datetime]] = field(default_factory=deque)
    """The offset and the time of each message since."""


class Positions:
    """The next offset of each partition, and the times of the messages before it."""

    def __init__(self) -> None:
        self._positions: dict[Partition, _Position] = {}

    def begin(self, partition: Partition, offset: int, metadata: str | None) -> None:
        """Begin a partition at a committed ``offset`` with its ``metadata``."""
        self._positions[partition] = _Position(offset, _parse(metadata))

    def forget(self, partition: Partition) -> None:
        """Forget a partition that another consumer has now."""
        self._positions.pop(partition, None)

    def next_offset(self, partition: Partition) -> int | None:
        """Return the offset that is read next; None if it is not known."""
        position = self._positions.get(partition)
        return None if position is None else position.next_offset

    def read(self, partition: Partition, offset: int, time: datetime) -> None:
        """Note that a message was read."""
        position = self._positions.setdefault(partition, _Position(offset, None))
        if offset < position.next_offset:  # The topic was created again.
            position.times.clear()
        position.next_offset = offset + 1
        position.times.append((offset, min(time, datetime.now(UTC))))

    def skip(self, partition: Partition, offset: int) -> None:
        """Note that the messages before ``offset`` are gone."""
        self._positions[partition].next_offset = offset

    def time(self, partition: Partition) -> datetime | None:
        """Return the time of the last message that was read, if known."""
        position = self._positions[partition]
        return position.times[-1][1] if position.times else position.time

    def metadata(self, partition: Partition, offset: int) -> str:
        """Return what to commit with ``offset``: the time of the last message before it."""
        position = self._positions.get(partition)
        if position is None:
            return ""
        while position.times and position.times[0][0] < offset:
            position.time = position.times.popleft()[1]
        return position.time.isoformat() if position.time else ""


def _parse(metadata: str | None) -> datetime | None:
    """Return the time in the metadata of an offset; None if something else committed it."""
    try:
        time = datetime.fromisoformat(metadata or "")
    except ValueError:
        return None
    return time if time.tzinfo else None
