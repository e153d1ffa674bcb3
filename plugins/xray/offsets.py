"""Which Kafka offsets may be committed, when messages are finished out of order.

A committed offset says that every message before it is dealt with. So what may
be committed of a partition is the offset of its first message that is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock
from typing import NamedTuple


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(slots=True)
class _Partition:
    after: int
    """The offset after the last message taken."""
    committed: int
    open: set[int] = field(default_factory=set)

    @property
    def ready(self) -> int:
        return min(self.open) if self.open else self.after


@dataclass(frozen=True, slots=True)
class Ticket:
    """A message under way. It is of no use after its partition has been forgotten."""

    offset: int
    _partition: _Partition


class Ledger:
    """What was taken of each partition, and what of it is done; safe among threads."""

    def __init__(self) -> None:
        self._partitions: dict[Place, _Partition] = {}
        self._lock = Lock()

    def take(self, place: Place, offset: int) -> Ticket:
        """A message was read from a partition."""
        with self._lock:
            partition = self._partitions.get(place)
            if partition is None or offset < partition.after:
                # Read again from further back: the partition was made anew, or its reading was
                # reset. What was known of it is of another sequence.
                partition = self._partitions[place] = _Partition(offset, offset)
            partition.open.add(offset)
            partition.after = offset + 1
            return Ticket(offset, partition)

    def done(self, ticket: Ticket) -> None:
        """Its runs exist, or it has been kept as a dead letter."""
        with self._lock:
            ticket._partition.open.discard(ticket.offset)

    def ready(self) -> dict[Place, int]:
        """The offset to commit for each partition in which it has moved."""
        with self._lock:
            return {
                place: partition.ready
                for place, partition in self._partitions.items()
                if partition.ready > partition.committed
            }

    def committed(self, offsets: dict[Place, int]) -> None:
        """These offsets are committed."""
        with self._lock:
            for place, offset in offsets.items():
                if partition := self._partitions.get(place):
                    partition.committed = offset

    def forget(self, *places: Place) -> None:
        """These partitions belong to somebody else now; all of them, if none is named."""
        with self._lock:
            for place in places or tuple(self._partitions):
                self._partitions.pop(place, None)
