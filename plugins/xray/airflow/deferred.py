"""A sensor whose work is done by its trigger alone, and the arguments of its DAG."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, ClassVar

from airflow.sdk import BaseSensorOperator
from airflow.triggers.base import BaseTrigger, StartTriggerArgs

CONTINUOUS: dict[str, Any] = {
    # Without a start date, the second continuous run gets the date of the first one, and fails.
    "schedule": "@continuous",
    "start_date": datetime(2026, 1, 1),
    "catchup": False,
    "max_active_runs": 1,
    "default_args": {"owner": "xray", "retries": 3, "retry_delay": timedelta(seconds=10)},
}
"""The arguments of a DAG that always has one run, whose tasks stay deferred."""


class DeferredSensor(BaseSensorOperator):
    """Runs a trigger that never fires.

    The task is deferred from the start: it occupies no worker slot, and it is never resumed.

    Args:
        arguments: the arguments of the trigger.

    Raises:
        TypeError: an argument is unknown.
    """

    start_from_trigger = True
    trigger_class: ClassVar[type[BaseTrigger]]

    def __init__(self, *, arguments: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        path, trigger_arguments = self.trigger_class(**(arguments or {})).serialize()
        if unknown := sorted(set(arguments or {}) - set(trigger_arguments)):
            raise TypeError(f"Unknown arguments of the trigger: {', '.join(unknown)}.")
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=path, trigger_kwargs=trigger_arguments, next_method="execute_complete"
        )
        self.arguments = trigger_arguments

    def execute(self, context: Any) -> None:
        """Defer to the trigger, if the scheduler did not do so, as in ``dag.test()``."""
        trigger = self.trigger_class(**self.arguments)
        self.defer(trigger=trigger, method_name="execute_complete")

    def execute_complete(self, context: Any, event: Any = None) -> None:
        """Do nothing: the trigger never fires, so this is never called."""
