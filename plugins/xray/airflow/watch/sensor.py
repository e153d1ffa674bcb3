"""The sensor of the watch, from the triggerer alone."""

from __future__ import annotations

from xray.airflow.deferred import DeferredSensor
from xray.airflow.watch.trigger import WatchTrigger


class WatchSensor(DeferredSensor):
    """Measures what waits and what is overdue; it never succeeds.

    Args:
        arguments: the arguments of :class:`xray.airflow.watch.trigger.WatchTrigger`.
    """

    trigger_class = WatchTrigger
