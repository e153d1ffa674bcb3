"""The table of the fault tests, as docs/notifications.md shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Fault(NamedTuple):
    """A fault, and the runs that were there after it."""

    name: str
    sent: int
    runs: int
    doubled: int
    seconds: float
    remark: str = ""


FAULTS: list[Fault] = []
"""The faults of this test session."""


def table_lines() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| fault | messages | runs | doubled | seconds | |"
    yield "|---|---:|---:|---:|---:|---|"
    for fault in FAULTS:
        yield (
            f"| {fault.name} | {fault.sent} | {fault.runs} | {fault.doubled} "
            f"| {fault.seconds:.0f} | {fault.remark} |"
        )
