"""What a deployment needs outside of Airflow: its buckets, its topics, its announcements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xray.airflow import config
from xray.case import Buckets

_DAY = 24 * 3600 * 1000
CREATIONS = "s3:ObjectCreated:*"
REMOVALS = "s3:ObjectRemoved:*"


@dataclass(frozen=True, slots=True)
class Topic:
    """A Kafka topic, as it is created."""

    partitions: int
    config: Mapping[str, str]


TOPICS = {
    config.TOPIC: Topic(3, {"retention.ms": str(7 * _DAY)}),
    # A dead letter is larger than its message, and is kept until the cause has been fixed.
    config.DEAD_LETTER_TOPIC: Topic(
        1, {"retention.ms": str(365 * _DAY), "max.message.bytes": "2097152"}
    ),
}
"""The topics of the notifications and of the dead letters."""


def buckets() -> tuple[str, ...]:
    """Return the names of all buckets, the landing bucket first."""
    landing = config.bucket()
    return (landing, *Buckets(landing).outputs())


def events() -> tuple[str, ...]:
    """Return the events of the landing bucket that the store has to announce.

    Raises:
        SettingsError: a setting is wrong.
    """
    return (CREATIONS, REMOVALS) if config.settings().follow_deletions else (CREATIONS,)
