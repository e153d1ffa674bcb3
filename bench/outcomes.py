"""What becomes of the messages of a trial (:mod:`bench.notifications`), and the figures of it.

started
    The message has at least one run. Where one run was started by several messages
    (``asset_watcher``), all of them count as started; ``runs`` is the number of runs. A message has
    a run if the run's conf names the object, or if the run consumed the asset event of the message.
lost
    The message has no run, its offset is committed, and it has no asset event: nothing will ever
    start its run.
stranded
    The message has no run, but its offset is not committed, or its asset event was not consumed. A
    later message or a restart may start its run.
doubled
    The number of runs beyond the first, summed over the messages.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Self


@dataclass
class Sent:
    """A message that was sent, and its place in the topic."""

    key: str
    at: float
    """Seconds since the epoch."""
    partition: int
    offset: int = -1


class Run(NamedTuple):
    """A run of a target DAG."""

    run_id: str
    created: float
    """Seconds since the epoch."""

    @classmethod
    def from_api(cls, run: Mapping[str, Any]) -> Self:
        """Return the run that Airflow's REST API describes."""
        return cls(run["dag_run_id"], datetime.fromisoformat(run["queued_at"]).timestamp())


@dataclass
class Result:
    """The runs, the asset events and the commits that the messages of a topic led to."""

    runs: dict[str, set[Run]] = field(default_factory=lambda: defaultdict(set))
    """The runs by object key."""
    recorded: set[str] = field(default_factory=set)
    """The keys that have an asset event."""
    committed: Mapping[int, int] = field(default_factory=dict)
    """The committed offset of each partition."""


def count_outcomes(sent: Sequence[Sent], result: Result) -> dict[str, int]:
    """Return the number of messages for each outcome in the module's docstring."""
    without = [message for message in sent if message.key not in result.runs]
    lost = [
        message
        for message in without
        if message.key not in result.recorded
        and message.offset < result.committed[message.partition]
    ]
    per_message = [len(result.runs[message.key]) for message in sent if message.key in result.runs]
    return {
        "sent": len(sent),
        "runs": len(_distinct_runs(sent, result)),
        "started": len(per_message),
        "lost": len(lost),
        "stranded": len(without) - len(lost),
        "doubled": sum(per_message) - len(per_message),
    }


def runs_per_second(sent: Sequence[Sent], result: Result) -> float | None:
    """Return the runs per second, from the first message to the last run; None without runs."""
    runs = _distinct_runs(sent, result)
    if not runs:
        return None
    return round(len(runs) / (max(run.created for run in runs) - sent[0].at), 2)


def latency_percentiles(sent: Sequence[Sent], result: Result) -> dict[str, float | None]:
    """Return percentiles of the seconds from a message to its first run.

    Messages without a run do not count.
    """
    seconds = sorted(
        min(run.created for run in result.runs[message.key]) - message.at
        for message in sent
        if message.key in result.runs
    )
    return {"p50": _percentile(seconds, 50), "p95": _percentile(seconds, 95)}


def _distinct_runs(sent: Sequence[Sent], result: Result) -> set[Run]:
    return {run for message in sent for run in result.runs.get(message.key, ())}


def _percentile(ordered: Sequence[float], percent: int) -> float | None:
    """Return the percentile by the nearest rank; None for no values."""
    if not ordered:
        return None
    return round(ordered[math.ceil(percent / 100 * len(ordered)) - 1], 3)
