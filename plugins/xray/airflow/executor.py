"""An executor with which Airflow's scheduler rests while no task runs.

A case has four or five short tasks in a row. Each waits for the scheduler's next look at the
database, so that ``[scheduler] scheduler_idle_sleep_time`` has to be short, and an idle scheduler
looks for work ten times a second. With this executor it does so only while tasks run.

``[core] executor = xray.airflow.executor.RestingLocalExecutor`` chooses it.
"""

from __future__ import annotations

import time

from airflow.executors.local_executor import LocalExecutor

REST_SECONDS = 0.25
"""How much longer the scheduler pauses between two looks while no task runs."""
WAKEFUL_SECONDS = 2.0
"""How long after the end of a task it does not rest: the next task of the run is about to begin."""


class RestingLocalExecutor(LocalExecutor):
    """Airflow's LocalExecutor, which lets the scheduler rest while no task runs."""

    _ran_at = 0.0
    """When a task ran last, in monotonic seconds."""

    def sync(self) -> None:
        """Read the results of tasks, as the scheduler asks for in each of its loops."""
        if self.running:
            self._ran_at = time.monotonic()
        super().sync()
        if time.monotonic() - self._ran_at > WAKEFUL_SECONDS:
            time.sleep(REST_SECONDS)
