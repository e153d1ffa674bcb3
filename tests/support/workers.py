"""The processes that run Airflow's tasks; Airflow puts the task instance into their titles."""

from __future__ import annotations

import os
import signal
from pathlib import Path

TASK = "airflow worker -- {}"
"""The title of the forked process that runs the code of the task."""
SUPERVISOR = "airflow worker -- LocalExecutor: {}"
"""The title of its parent, which reports to the API server."""


def kill(task_instance: str, title: str = TASK) -> None:
    """Kill the process of a task instance with ``kill -9``; there must be exactly one."""
    (pid,) = [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if _title(path) == title.format(task_instance)
    ]
    os.kill(pid, signal.SIGKILL)


def _title(cmdline: Path) -> str:
    try:
        return cmdline.read_bytes().decode(errors="replace").strip("\0 ")
    except OSError:
        return ""  # The process has ended.
