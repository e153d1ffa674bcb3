"""What the listener says: its metrics, and one line of its log a minute."""

from __future__ import annotations

import logging
import time
from collections import Counter

from xray.airflow.listener import metrics
from xray.airflow.listener.gaps import Gap
from xray.airflow.listener.partitions import Lag

log = logging.getLogger(__name__)

LAG_SECONDS = 5.0
"""How often the gauges are measured, and a heartbeat is sent."""
LINE_SECONDS = 60.0
"""How often the log says what was done. The log of the listener grows for months."""
COUNTERS = ("received", "started", "duplicate", "skipped", "dead_lettered")
"""The counters in the order of the log line."""


class Report:
    """Collects what a listener has done, sends it as metrics, and logs the sums.

    Args:
        sensor: the name of the sensor.
    """

    def __init__(self, sensor: str) -> None:
        self._sensor = sensor
        self.counts: Counter[str] = Counter()
        """What was done since the metrics were sent."""
        self._unlogged: Counter[str] = Counter()
        """What was done since the last line of the log."""
        self._logged_at = self._beat_at = self._measured_at = float("-inf")
        self._gauged: set[int] = set()
        """The partitions whose lag was sent."""
        self._partitions = 0
        """How many partitions the sensor has, or had."""

    def finished(self, counts: Counter[str], sent: int) -> None:
        """Count a message that is finished.

        Args:
            counts: what became of it.
            sent: its time in Kafka, in milliseconds since 1970.
        """
        self.counts += counts
        if sent > 0:
            metrics.to_run(max(0.0, time.time() - sent / 1000))

    def lost(self, gap: Gap) -> None:
        """Say that messages are lost."""
        log.warning("%s", gap)
        metrics.lost(gap.count)

    def send_counts(self, in_progress: int) -> None:
        """Add what was done to the metrics, and log it if a line is due."""
        counts, self.counts = self.counts, Counter()
        metrics.count(counts)
        self._unlogged += counts
        if time.monotonic() - self._logged_at >= LINE_SECONDS:
            self._log_counts(in_progress)

    def _log_counts(self, in_progress: int) -> None:
        counts, self._unlogged = self._unlogged, Counter()
        if counts:
            self._logged_at = time.monotonic()
            log.info(
                "%d messages: %d runs started, %d duplicates, %d parts skipped, "
                "%d dead letters; %d messages in progress",
                *(counts[name] for name in COUNTERS),
                in_progress,
            )

    def measure_is_due(self, partitions: frozenset[int]) -> bool:
        """Return whether it is time to measure, or ``partitions`` of the sensor have changed."""
        self._partitions = len(partitions)
        if time.monotonic() - self._measured_at < LAG_SECONDS and self._gauged <= partitions:
            return False
        self._measured_at = time.monotonic()
        self._clear(self._gauged - partitions)
        return True

    def lag(self, lag: Lag) -> None:
        """Set the gauges of the messages that wait."""
        metrics.lag(lag.waiting)
        metrics.lag_unknown(self._sensor, lag.unknown)
        self._gauged |= set(lag.waiting)

    def lag_is_unknown(self) -> None:
        """Say that no lag can be read, because there is no consumer."""
        metrics.lag_unknown(self._sensor, max(1, self._partitions))

    def state(self, *, stalled: float, blocked: float, paused: bool) -> None:
        """Set the other gauges, and send a heartbeat if one is due.

        Args:
            stalled: seconds for which runs have been waiting for the API.
            blocked: seconds for which Kafka has refused the sensor.
            paused: whether the DAG is paused.
        """
        metrics.stalled(self._sensor, stalled)
        metrics.blocked(self._sensor, blocked)
        metrics.paused(paused)
        if time.monotonic() - self._beat_at >= LAG_SECONDS:
            self._beat_at = time.monotonic()
            metrics.heartbeat()

    def end(self) -> None:
        """Log what was not logged yet, and clear the gauges of a sensor that ends."""
        self.send_counts(0)
        self._log_counts(0)
        self._clear(set(self._gauged))
        metrics.lag_unknown(self._sensor, 0)
        metrics.stalled(self._sensor, 0)
        metrics.blocked(self._sensor, 0)

    def _clear(self, partitions: set[int]) -> None:
        """Set the gauges of partitions to zero that the sensor no longer has.

        If another sensor has one, that sensor sets the same gauge at its next measurement.
        """
        metrics.lag(dict.fromkeys(partitions, 0))
        self._gauged -= partitions
