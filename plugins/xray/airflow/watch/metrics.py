"""The metrics of the watch, through Airflow's own (StatsD or OpenTelemetry).

| metric | kind | meaning |
|---|---|---|
| `xray.waiting.review` | gauge | cases that wait for a review |
| `xray.waiting.review_age` | gauge | seconds for which the oldest of them has waited; 0 if none |
| `xray.waiting.release` | gauge | images that wait for a decision on their release |
| `xray.waiting.release_age` | gauge | seconds for which the oldest of them has waited; 0 if none |
| `xray.staging.age` | gauge | seconds since the oldest staged image was written; 0 if none |
| `xray.audit.checkpoint_age` | gauge | seconds since the newest checkpoint; not sent if none |
| `xray.cases.active` | gauge | runs of `xray_case` that are queued or running |
| `xray.cases.overdue` | gauge | of these, the ones older than `[xray] case_minutes` |
| `xray.reconcile.age` | gauge | seconds since `xray_reconcile` succeeded; not sent if never |
| `xray.watch.heartbeat` | counter | one a minute while the watch works |

No metric holds data of an object. Airflow puts its own prefix before each name.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow.observability.stats import Stats

PREFIX = "xray."


def gauges(values: Mapping[str, float]) -> None:
    """Set the gauges, by their names without the prefix."""
    for name, value in values.items():
        Stats.gauge(PREFIX + name, value)


def heartbeat() -> None:
    """Count a round of the watch."""
    Stats.incr(PREFIX + "watch.heartbeat")
