"""What the listener tells Airflow's metrics (StatsD or OpenTelemetry, as Airflow is set up).

| metric | kind | tells |
|---|---|---|
| `xray.notifications.received` | counter | messages taken from the topic |
| `xray.notifications.started` | counter | runs started |
| `xray.notifications.duplicate` | counter | runs that were there already |
| `xray.notifications.skipped` | counter | parts that ask for no run: removals, test events, … |
| `xray.notifications.dead_lettered` | counter | messages put on the dead-letter topic |
| `xray.notifications.to_run` | timer | from the message's time in Kafka until its runs exist |
| `xray.notifications.lag` | gauge | messages that wait, over all partitions of this sensor |
| `xray.notifications.lag.partition_N` | gauge | those of one partition |
| `xray.notifications.stalled` | gauge | seconds for which runs have waited for the API |

No metric or tag holds anything of an object. Airflow puts its own prefix before each name.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from airflow.observability.stats import Stats

PREFIX = "xray.notifications."


def count(counts: Mapping[str, int]) -> None:
    """Add to the counters, by their last names."""
    for name, number in counts.items():
        if number:
            Stats.incr(PREFIX + name, number)


def to_run(seconds: float) -> None:
    """A notification's runs exist, so long after it came to Kafka."""
    Stats.timing(PREFIX + "to_run", timedelta(seconds=seconds))


def lag(behind: Mapping[int, int]) -> None:
    """How many messages wait in each partition.

    A plain StatsD drops tags, so a partition's number is in the name.
    """
    Stats.gauge(PREFIX + "lag", sum(behind.values()))
    for partition, messages in behind.items():
        Stats.gauge(f"{PREFIX}lag.partition_{partition}", messages)


def stalled(seconds: float) -> None:
    """How long runs have waited for an API that does not start them."""
    Stats.gauge(PREFIX + "stalled", seconds)
