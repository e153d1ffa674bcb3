"""The processes that run Airflow's tasks; Airflow names each after its task instance."""

from __future__ import annotations

import os
import signal
from pathlib import Path

TASK = "airflow worker -- {}"
"""The forked process in which the task's code runs."""
SUPERVISOR = "airflow worker -- LocalExecutor: {}"
"""Its parent, which reports to the API server."""


def kill(task_instance: str, title: str = TASK) -> None:
    """``kill -9`` the process of a task instance, which must be running."""
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
        return ""  # It has ended since.
