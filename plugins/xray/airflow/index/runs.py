"""The runs of a case, its own and those of its forms, and their tasks, as Airflow's tables say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from xray.airflow import config
from xray.airflow.forms import DAGS
from xray.airflow.index.queries import utc
from xray.case import RUN_PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A task of a run, with its last try."""

    task_id: str
    state: str | None
    """None if Airflow has not looked at the task yet."""
    tries: int
    started: datetime | None
    ended: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRun:
    """A run of a case, or of one of its forms."""

    dag_id: str
    run_id: str
    state: str
    received: datetime | None
    """When Airflow has received the run."""
    conf: Mapping[str, Any]
    note: str | None
    steps: list[Step] = field(default_factory=list)


def own_run(connection: Connection, case_id: str, run_id: str | None = None) -> CaseRun | None:
    """Return the run of a case; None if Airflow does not have it, or no longer.

    Args:
        connection: to Airflow's database.
        case_id: the case.
        run_id: of the run; None for the usual one.
    """
    found = _runs(connection, [config.CASE_DAG], [run_id or f"{RUN_PREFIX}{case_id}"])
    return found[0] if found else None


def form_runs(connection: Connection, case_id: str, claims: Collection[int]) -> list[CaseRun]:
    """Return the runs of the forms of a case, the oldest first.

    Args:
        connection: to Airflow's database.
        case_id: the case.
        claims: the numbers of the claims under which the case may have asked a person.
    """
    run_ids = [f"{RUN_PREFIX}{case_id}__{number}" for number in sorted(claims)]
    return _runs(connection, DAGS.values(), run_ids) if run_ids else []


def _runs(
    connection: Connection, dag_ids: Collection[str], run_ids: Collection[str]
) -> list[CaseRun]:
    """Return runs with their tasks."""
    from airflow.models.dagrun import DagRun, DagRunNote

    query = (
        select(
            DagRun.dag_id,
            DagRun.run_id,
            DagRun.state,
            DagRun.queued_at,
            DagRun.conf,
            DagRunNote.content,
        )
        .outerjoin(DagRunNote, DagRunNote.dag_run_id == DagRun.id)
        .where(DagRun.dag_id.in_(dag_ids), DagRun.run_id.in_(run_ids))
        .order_by(DagRun.id)
    )
    found = [
        CaseRun(
            dag_id=row.dag_id,
            run_id=row.run_id,
            state=row.state,
            received=row.queued_at and utc(row.queued_at),
            conf=row.conf or {},
            note=row.content,
        )
        for row in connection.execute(query)
    ]
    for run in found:
        run.steps.extend(_steps(connection, run))
    return found


def _steps(connection: Connection, run: CaseRun) -> list[Step]:
    from airflow.models.taskinstance import TaskInstance

    query = select(
        TaskInstance.task_id,
        TaskInstance.state,
        TaskInstance.try_number,
        TaskInstance.start_date,
        TaskInstance.end_date,
    ).where(TaskInstance.dag_id == run.dag_id, TaskInstance.run_id == run.run_id)
    steps = [
        Step(
            task_id=row.task_id,
            state=row.state,
            tries=row.try_number,
            started=row.start_date and utc(row.start_date),
            ended=row.end_date and utc(row.end_date),
        )
        for row in connection.execute(query)
    ]
    # Not by time: a skipped task has the time at which it was skipped.
    return sorted(steps, key=lambda step: (_ORDER.get(step.task_id, len(_ORDER)), step.task_id))


_ORDER = {
    task: place
    for place, task in enumerate(
        ("fetch", "classify", "review", "annotate", "anonymize", "store", "quarantine", "release")
    )
}
"""The tasks in the order in which they follow each other."""
