"""The floor: a DAG of the shape of ``xray_case`` whose tasks do nothing.

The same four tasks run as in a case without an anonymised copy, the same one is skipped, and the
same results go between them.
"""

from typing import Any

from airflow.sdk import BaseXCom, TriggerRule, dag, get_current_context, task
from airflow.sdk.exceptions import DownstreamTasksSkipped


@task(trigger_rule=TriggerRule.NONE_FAILED)
def step(*_: Any) -> dict[str, int]:
    """Return a result."""
    return {"schema": 1}


@task(trigger_rule=TriggerRule.NONE_FAILED)
def skipping_step(*_: Any, skipped: list[str]) -> None:
    """Return a result, and skip other tasks."""
    get_current_context()["ti"].xcom_push(key=BaseXCom.XCOM_RETURN_KEY, value={"schema": 1})
    raise DownstreamTasksSkipped(tasks=skipped)


@dag(schedule=None, catchup=False, max_active_runs=32)
def bench_empty() -> None:
    """Run the tasks of a case without an anonymised copy."""
    pinned = step.override(task_id="fetch")()
    scored = skipping_step.override(task_id="classify")(pinned, skipped=["anonymize"])
    annotated = step.override(task_id="annotate")(pinned, scored)
    anonymized = step.override(task_id="anonymize")(pinned, scored)
    outcome = step.override(task_id="store")(pinned, scored, annotated, anonymized)
    annotated >> anonymized >> outcome


bench_empty()
