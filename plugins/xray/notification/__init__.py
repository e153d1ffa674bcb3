"""Bucket notifications: the dialects that object stores write, and the offsets of messages."""

from xray.notification.dialects import (
    MAX_MESSAGE_BYTES,
    MAX_RECORDS,
    Notification,
    ObjectCreated,
    Skipped,
    UnreadableError,
    parse,
)

__all__ = [
    "MAX_MESSAGE_BYTES",
    "MAX_RECORDS",
    "Notification",
    "ObjectCreated",
    "Skipped",
    "UnreadableError",
    "parse",
]
