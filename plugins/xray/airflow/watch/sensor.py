"""The sensor of the watch, from the triggerer alone."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.triggers.base import StartTriggerArgs

from xray.airflow.watch.trigger import WatchTrigger


class WatchSensor(BaseSensorOperator):
    """Measures what waits and what is overdue; it never succeeds.

    The task is deferred from the start, so that it occupies no worker slot.

    Args:
        arguments: the arguments of :class:`xray.airflow.watch.trigger.WatchTrigger`.
    """

    start_from_trigger = True

    def __init__(self, *, arguments: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        path, trigger_arguments = WatchTrigger(**(arguments or {})).serialize()
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=path, trigger_kwargs=trigger_arguments, next_method="execute_complete"
        )
        self.arguments = trigger_arguments

    def execute(self, context: Any) -> None:
        """Defer to the trigger, if the scheduler did not do so, as in ``dag.test()``."""
        self.defer(trigger=WatchTrigger(**self.arguments), method_name="execute_complete")

    def execute_complete(self, context: Any, event: Any = None) -> None:
        """Do nothing: the trigger never fires, so this is never called."""
