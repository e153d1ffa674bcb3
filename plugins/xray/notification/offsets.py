"""The Kafka offsets that may be committed when messages finish out of order.

A committed offset says that every message before it is finished. The offset to
commit for a partition is therefore that of its first unfinished message.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(slots=True)
class _Progress:
    """The progress of one partition."""

    next_offset: int
    """The offset after the last message that was read."""
    committed: int
    """The last offset that was committed."""
    pending: set[int] = field(default_factory=set)

    @property
    def ready(self) -> int:
        """The offset that may be committed."""
        return min(self.pending) if self.pending else self.next_offset


@dataclass(frozen=True, slots=True)
class PendingOffset:
    """The offset of a message in progress. It has no effect once its partition is forgotten."""

    offset: int
    _progress: _Progress


class OffsetTracker:
    """Tracks the messages of each partition that were read and finished. Thread-safe."""

    def __init__(self) -> None:
        self._partitions: dict[Partition, _Progress] = {}
        self._lock = Lock()

    def add(self, partition: Partition, offset: int) -> PendingOffset:
        """Record that a message was read from ``partition``."""
        with self._lock:
            progress = self._partitions.get(partition)
            if progress is None or offset < progress.next_offset:
                # The offset has moved back: the topic was recreated, or the consumer was reset. The
                # earlier offsets belong to another sequence.
                progress = self._partitions[partition] = _Progress(offset, offset)
            progress.pending.add(offset)
            progress.next_offset = offset + 1
            return PendingOffset(offset, progress)

    def finish(self, pending: PendingOffset) -> None:
        """Record that a message's runs exist, or that it was written to the dead-letter topic."""
        with self._lock:
            pending._progress.pending.discard(pending.offset)

    def ready(self) -> dict[Partition, int]:
        """Return the offset to commit for each partition whose offset has changed."""
        with self._lock:
            return {
                partition: progress.ready
                for partition, progress in self._partitions.items()
                if progress.ready > progress.committed
            }

    def committed(self, offsets: dict[Partition, int]) -> None:
        """Record that these offsets were committed."""
        with self._lock:
            for partition, offset in offsets.items():
                if progress := self._partitions.get(partition):
                    progress.committed = offset

    def forget(self, *partitions: Partition) -> None:
        """Forget partitions that another consumer has now; all partitions if none is given."""
        with self._lock:
            for partition in partitions or tuple(self._partitions):
                self._partitions.pop(partition, None)
