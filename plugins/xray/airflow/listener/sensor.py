"""The sensor that listens for notifications, from the triggerer alone."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.triggers.base import StartTriggerArgs

from xray.airflow.listener.trigger import NotificationTrigger


class NotificationSensor(BaseSensorOperator):
    """Waits for bucket notifications and starts one DAG run for each; it never succeeds.

    The task is deferred from the start: it occupies no worker slot, and it is never resumed, so
    that Airflow cannot lose a message between two deferrals.

    Args:
        arguments: the arguments of :class:`xray.airflow.listener.trigger.NotificationTrigger`.

    Raises:
        TypeError: an argument is unknown.
    """

    start_from_trigger = True

    def __init__(self, *, arguments: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        path, trigger_arguments = NotificationTrigger(**(arguments or {})).serialize()
        if unknown := sorted(set(arguments or {}) - set(trigger_arguments)):
            raise TypeError(f"Unknown arguments of the trigger: {', '.join(unknown)}.")
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=path, trigger_kwargs=trigger_arguments, next_method="execute_complete"
        )
        self.arguments = trigger_arguments

    def execute(self, context: Any) -> None:
        """Defer to the trigger, if the scheduler did not do so, as in ``dag.test()``."""
        self.defer(trigger=NotificationTrigger(**self.arguments), method_name="execute_complete")

    def execute_complete(self, context: Any, event: Any = None) -> None:
        """Do nothing: the trigger never fires, so this is never called."""
