"""Bucket notifications: parsing the messages of several gateways, and tracking Kafka offsets."""

from xray.notification.dialects import (
    MAX_MESSAGE_BYTES,
    MAX_RECORDS,
    Notification,
    ObjectCreated,
    ObjectRemoved,
    Skipped,
    UnreadableError,
    parse,
)
from xray.notification.events import is_folder_marker
from xray.notification.offsets import OffsetTracker, Partition, PendingOffset

__all__ = [
    "MAX_MESSAGE_BYTES",
    "MAX_RECORDS",
    "Notification",
    "ObjectCreated",
    "ObjectRemoved",
    "OffsetTracker",
    "Partition",
    "PendingOffset",
    "Skipped",
    "UnreadableError",
    "is_folder_marker",
    "parse",
]
