"""The sensor that listens for notifications, from the triggerer alone."""

from __future__ import annotations

from xray.airflow.deferred import DeferredSensor
from xray.airflow.listener.trigger import NotificationTrigger


class NotificationSensor(DeferredSensor):
    """Waits for bucket notifications and starts one DAG run for each; it never succeeds.

    Because the task is never resumed, Airflow cannot lose a message between two deferrals.

    Args:
        arguments: the arguments of :class:`xray.airflow.listener.trigger.NotificationTrigger`.
    """

    trigger_class = NotificationTrigger
