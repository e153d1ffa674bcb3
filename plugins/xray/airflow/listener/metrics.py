"""The metrics of the listener, through Airflow's own (StatsD or OpenTelemetry).

| metric | kind | meaning |
|---|---|---|
| `xray.notifications.received` | counter | messages received from the topic |
| `xray.notifications.started` | counter | runs started |
| `xray.notifications.duplicate` | counter | runs that existed already |
| `xray.notifications.skipped` | counter | parts that need no run: removals, test events, … |
| `xray.notifications.dead_lettered` | counter | messages written to the dead-letter topic |
| `xray.notifications.lost` | counter | messages that Kafka removed before they were read |
| `xray.notifications.heartbeat` | counter | one about every 5 s for each sensor that works |
| `xray.notifications.to_run` | timer | from the message's time in Kafka until its runs exist |
| `xray.notifications.lag.partition_N` | gauge | messages that wait in partition N |
| `xray.notifications.lag_unknown.SENSOR` | gauge | partitions of SENSOR whose lag is not known |
| `xray.notifications.stalled.SENSOR` | gauge | seconds for which runs wait for the API |
| `xray.notifications.blocked.SENSOR` | gauge | seconds for which Kafka or a setting stops SENSOR |
| `xray.notifications.paused` | gauge | 1 if the DAG of the listener is paused, otherwise 0 |

SENSOR is the id of the sensor's task, such as ``listen_1``: sensors may share a process. It and the
number of the partition are in the name, because plain StatsD drops tags. No metric or tag holds
data of an object. Airflow puts its own prefix before each name.
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


def lost(messages: int) -> None:
    """Count ``messages`` that Kafka removed before they were read."""
    Stats.incr(PREFIX + "lost", messages)


def heartbeat() -> None:
    """Count one turn of a sensor's loop."""
    Stats.incr(PREFIX + "heartbeat", 1)


def to_run(seconds: float) -> None:
    """Record the ``seconds`` from a message's time in Kafka until its runs existed."""
    Stats.timing(PREFIX + "to_run", timedelta(seconds=seconds))


def lag(waiting: Mapping[int, int]) -> None:
    """Set the number of ``waiting`` messages of each partition."""
    for partition, messages in waiting.items():
        Stats.gauge(f"{PREFIX}lag.partition_{partition}", messages)


def lag_unknown(sensor: str, partitions: int) -> None:
    """Set the number of ``partitions`` of a sensor whose lag cannot be read."""
    Stats.gauge(f"{PREFIX}lag_unknown.{sensor}", partitions)


def stalled(sensor: str, seconds: float) -> None:
    """Set for how many ``seconds`` runs have been waiting for an API that fails."""
    Stats.gauge(f"{PREFIX}stalled.{sensor}", seconds)


def blocked(sensor: str, seconds: float) -> None:
    """Set for how many ``seconds`` Kafka has refused a sensor, or a setting has been wrong."""
    Stats.gauge(f"{PREFIX}blocked.{sensor}", seconds)


def paused(value: bool) -> None:
    """Set whether the DAG of the listener is paused."""
    Stats.gauge(PREFIX + "paused", int(value))
