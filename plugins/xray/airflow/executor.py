"""An executor with which Airflow's scheduler rests while there is nothing to start.

A case has four or five short tasks in a row. Each waits for the scheduler's next look at the
database, so that ``[scheduler] scheduler_idle_sleep_time`` has to be short, and an idle scheduler
looks for work ten times a second. With this executor it does so only while tasks run and each of
them has a process. While some wait for a process, looking for more would only take the processor
time that they need.

``[core] executor = xray.airflow.executor.RestingLocalExecutor`` chooses it.
"""

from __future__ import annotations

import time
from typing import Any

from airflow.executors.local_executor import LocalExecutor
from airflow.utils.state import TaskInstanceState

REST_SECONDS = 0.25
"""How much longer the scheduler pauses between two looks while it rests."""
WAKEFUL_SECONDS = 2.0
"""How long after the end of a task it does not rest: the next task of the run is about to begin."""


class RestingLocalExecutor(LocalExecutor):
    """Airflow's LocalExecutor, which lets the scheduler rest while there is nothing to start."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._under_way: set[Any] = set()
        """The keys of what is queued or runs; LocalExecutor leaves its own set of them empty."""
        self._worked_at = 0.0
        """When anything was under way last, in monotonic seconds."""

    def queue_workload(self, workload: Any, session: Any) -> None:
        """Take a task, as the scheduler asks for."""
        self._under_way.add(workload.key)
        super().queue_workload(workload, session)

    def change_state(
        self, key: Any, state: Any, info: Any = None, remove_running: bool = True
    ) -> None:
        """Note the new state of a task."""
        super().change_state(key, state, info, remove_running)
        if state != TaskInstanceState.RUNNING:
            self._under_way.discard(key)

    def sync(self) -> None:
        """Read the results of tasks, as the scheduler asks for in each of its loops."""
        if self._under_way:
            self._worked_at = time.monotonic()
        super().sync()
        idle = time.monotonic() - self._worked_at > WAKEFUL_SECONDS
        if idle or len(self._under_way) > self.parallelism:
            time.sleep(REST_SECONDS)
