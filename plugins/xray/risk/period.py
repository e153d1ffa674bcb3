"""A period of time, given by its first and last moment."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Period:
    """The time from ``since`` until before ``until``; None is no limit."""

    since: datetime | None = None
    until: datetime | None = None

    def __contains__(self, text: str) -> bool:
        """Return whether a time in ISO 8601 is in the period."""
        time = _with_zone(datetime.fromisoformat(text))
        return (self.since is None or time >= self.since) and (
            self.until is None or time < self.until
        )


def add_period(parser: argparse.ArgumentParser) -> None:
    """Add the options ``--since`` and ``--until`` of a command."""
    for name, text in (("since", "only what was recorded at"), ("until", "only what was before")):
        parser.add_argument(
            f"--{name}",
            type=_time,
            metavar="TIME",
            help=f"{text} this time{' or later' if name == 'since' else ''}, such as 2026-11-01 or "
            "2026-11-01T12:00; UTC if it names no zone",
        )


def _time(text: str) -> datetime:
    return _with_zone(datetime.fromisoformat(text))


def _with_zone(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
