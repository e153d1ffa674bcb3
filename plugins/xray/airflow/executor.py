"""An executor that tells the scheduler at once that a task has ended.

Airflow's scheduler sleeps for ``[scheduler] scheduler_idle_sleep_time`` when it has nothing to do,
and a task that ends meanwhile waits for it. A case has four or five tasks in a row, so that the
sleep has to be short, and an idle scheduler looks for work many times a second. With this executor
the sleep can be longer: while tasks run, the scheduler waits for the end of one of them instead.

``[core] executor = xray.airflow.executor.PromptLocalExecutor`` chooses it.
"""

from __future__ import annotations

from multiprocessing.connection import wait
from typing import Any

from airflow.configuration import conf
from airflow.executors.local_executor import LocalExecutor


class PromptLocalExecutor(LocalExecutor):
    """Airflow's LocalExecutor, which waits for the end of a task while the scheduler is idle."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._longest = conf.getfloat("scheduler", "scheduler_idle_sleep_time")
        self._ran_before: frozenset[Any] = frozenset()
        """The tasks that ran when the scheduler called last."""

    def sync(self) -> None:
        """Read the results of tasks. If tasks run and none has begun, wait for a result first."""
        running = frozenset(self.running)
        if running and running == self._ran_before:
            # SimpleQueue has no public way to wait for a while. A test fails if this changes.
            wait([self.result_queue._reader], self._longest)
        super().sync()
        self._ran_before = frozenset(self.running)
