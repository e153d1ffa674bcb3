"""Airflow's client of metrics, as it is set up in the process at work.

Airflow has two: the one of the task SDK is set up in the processes of tasks, and that of the core
in all others, such as the triggerer and the DAG processor. The other one drops what it is given.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import get_current_context


def process_stats() -> Any:
    """Return the class ``Stats`` that sends from this process."""
    try:
        get_current_context()
    except RuntimeError:  # This is no task.
        from airflow.observability.stats import Stats
    else:
        from airflow.sdk.observability.stats import Stats
    return Stats
