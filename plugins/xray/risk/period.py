"""A period of time, as options of a command."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import datetime

from xray.times import time_of

_FORM = "such as 2026-11-01 or 2026-11-01T12:00; UTC if it names no zone"


@dataclass(frozen=True, slots=True)
class Period:
    """The time from ``since`` until before ``until``; None is no limit."""

    since: datetime | None = None
    until: datetime | None = None

    def __contains__(self, text: str) -> bool:
        """Return whether a time in ISO 8601 is in the period."""
        time = time_of(text)
        return (
            time is not None
            and (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
        )


def add_period(parser: argparse.ArgumentParser) -> None:
    """Add the options ``--since`` and ``--until`` of a command."""
    parser.add_argument(
        "--since", type=_time, metavar="TIME", help=f"only what was recorded from then on, {_FORM}"
    )
    parser.add_argument(
        "--until", type=_time, metavar="TIME", help=f"only what was recorded before, {_FORM}"
    )


def _time(text: str) -> datetime:
    if (time := time_of(text)) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time")
    return time
