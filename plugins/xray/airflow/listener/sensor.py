"""The sensor that listens for notifications, from the triggerer alone."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.triggers.base import StartTriggerArgs

from xray.airflow.listener.trigger import NotificationTrigger


class NotificationSensor(BaseSensorOperator):
    """Waits for bucket notifications and starts one DAG run for each; it never succeeds.

    It goes straight to the triggerer: no worker holds a slot for it, and there
    is no resuming, in which Airflow could lose a message.

    Args:
        arguments: those of :class:`xray.airflow.listener.trigger.NotificationTrigger`.
    """

    start_from_trigger = True

    def __init__(self, *, arguments: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        path, trigger_arguments = NotificationTrigger(**(arguments or {})).serialize()
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=path, trigger_kwargs=trigger_arguments, next_method="execute_complete"
        )
        self.arguments = trigger_arguments

    def execute(self, context: Any) -> None:
        """Go to the triggerer; used where the scheduler did not do so, as in ``dag.test()``."""
        self.defer(trigger=NotificationTrigger(**self.arguments), method_name="execute_complete")

    def execute_complete(self, context: Any, event: Any = None) -> None:
        """Nothing: the trigger fires no event, so this is reached by no message."""
