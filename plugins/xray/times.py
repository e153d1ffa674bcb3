"""Times as texts, in the params of runs, in notifications, records and Variables."""

from __future__ import annotations

from datetime import UTC, datetime


def time_of(text: str | None) -> datetime | None:
    """Return a time in ISO 8601, in UTC unless it names another zone; None if it is no time."""
    try:
        time = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
