"""The metrics of the listener, through Airflow's own (StatsD or OpenTelemetry).

| metric | kind | meaning |
|---|---|---|
| `xray.notifications.received` | counter | messages received from the topic |
| `xray.notifications.started` | counter | runs started |
| `xray.notifications.duplicate` | counter | runs that existed already |
| `xray.notifications.skipped` | counter | parts that need no run: removals, test events, … |
| `xray.notifications.dead_lettered` | counter | messages written to the dead-letter topic |
| `xray.notifications.to_run` | timer | from the message's time in Kafka until its runs exist |
| `xray.notifications.lag` | gauge | messages that wait in all partitions of this sensor |
| `xray.notifications.lag.partition_N` | gauge | messages that wait in partition N |
| `xray.notifications.stalled` | gauge | seconds for which runs have been waiting for the API |

No metric or tag holds data of an object. Airflow puts its own prefix before each name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from airflow.observability.stats import Stats

PREFIX = "xray.notifications."


def count(counts: Mapping[str, int]) -> None:
    """Add to the counters, by the last part of their names."""
    for name, number in counts.items():
        if number:
            Stats.incr(PREFIX + name, number)


def to_run(seconds: float) -> None:
    """Record the ``seconds`` from a message's time in Kafka until its runs existed."""
    Stats.timing(PREFIX + "to_run", timedelta(seconds=seconds))


def lag(waiting: Mapping[int, int]) -> None:
    """Set the number of ``waiting`` messages of each partition, and of all of them.

    The number of the partition is in the name, because plain StatsD drops tags.
    """
    Stats.gauge(PREFIX + "lag", sum(waiting.values()))
    for partition, messages in waiting.items():
        Stats.gauge(f"{PREFIX}lag.partition_{partition}", messages)


def stalled(seconds: float) -> None:
    """Set for how many ``seconds`` runs have been waiting for an API that fails."""
    Stats.gauge(PREFIX + "stalled", seconds)
