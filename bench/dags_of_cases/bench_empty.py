"""The floor: a DAG of five tasks in a row that do nothing."""

from airflow.sdk import dag, task


@task
def step(number: int) -> int:
    """Return the number of the next step."""
    return number + 1


@dag(schedule=None, catchup=False, max_active_runs=32)
def bench_empty() -> None:
    """Run five tasks, each of which gets the result of the one before."""
    result = 0
    for name in ("fetch", "classify", "annotate", "anonymize", "store"):
        result = step.override(task_id=name)(result)


bench_empty()
