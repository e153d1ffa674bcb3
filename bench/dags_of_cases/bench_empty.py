"""The floor: a DAG of the shape of ``xray_case`` whose tasks do nothing.

The same four tasks run as in a case without an anonymised copy, the same three are skipped, and the
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
    scored = skipping_step.override(task_id="classify")(pinned, skipped=["review", "anonymize"])
    reviewed = step.override(task_id="review")(pinned, scored)
    annotated = step.override(task_id="annotate")(pinned, scored, reviewed)
    anonymized = step.override(task_id="anonymize")(pinned, scored, reviewed)
    outcome = skipping_step.override(task_id="store")(
        pinned, scored, reviewed, annotated, anonymized, skipped=["quarantine"]
    )
    annotated >> anonymized >> outcome
    outcome >> step.override(task_id="quarantine")(pinned, scored, reviewed)


bench_empty()
