"""Keeps the index up to date whenever the run of a case, or of its form, changes its state.

The listener of the plugin calls these functions in the process that changes the state: the
scheduler, or the API server if a person does it. The row of the case is written in the transaction
of that change, so that both are there or neither. A failure is logged, and does not stop the run.

The results of the tasks, which hold nothing that names an object, are read from Airflow's tables,
so that no task has to send anything. The note of a run is set in the same way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any

from xray.airflow import config
from xray.airflow.index import rows, table

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.engine import Connection

log = logging.getLogger(__name__)

_Change = Callable[["Connection", "DagRun"], None]
_DAGS = (config.CASE_DAG, config.REVIEW_DAG, config.RELEASE_DAG, config.FORGET_DAG)
_LAST_TASKS = {config.REVIEW_DAG: "store", config.RELEASE_DAG: "release"}
"""The task whose result says that a form was answered, for each kind of form."""


def _in_transaction(change: _Change) -> Callable[..., None]:
    """Give a function the connection of the run's own session, and keep its failure from the run.

    The savepoint is that of the connection: Airflow's scheduler allows no commit of the session,
    and takes the end of the session's savepoint for one.
    """

    @wraps(change)
    def wrapper(dag_run: DagRun) -> None:
        from sqlalchemy.orm import object_session

        session = object_session(dag_run)
        if dag_run.dag_id not in _DAGS or session is None:
            return
        try:
            connection = session.connection()
            with connection.begin_nested():
                change(connection, dag_run)
        except Exception as error:
            # The message of a database quotes the values.
            log.warning(
                "The index does not know the state of the run %s (%s): run `python -m xray index`.",
                dag_run.run_id,
                type(error).__name__,
            )

    return wrapper


@_in_transaction
def running(connection: Connection, dag_run: DagRun) -> None:
    """Add a case, or write that it is under way again."""
    if dag_run.dag_id == config.CASE_DAG:
        _write(connection, dag_run, rows.begun(dag_run.run_id, dag_run.start_date), {})


@_in_transaction
def success(connection: Connection, dag_run: DagRun) -> None:
    """Write how a case has ended, or what it waits for, and set the note of the run."""
    if dag_run.dag_id == config.FORGET_DAG:
        _forget(connection, dag_run)
        return
    results = _results(connection, dag_run)
    last_task = _LAST_TASKS.get(dag_run.dag_id)
    if last_task and not results.get(last_task):
        return  # A form that was withdrawn: its case has gone on.
    if last_task:
        results = {**_carried(dag_run), **results}
    if dag_run.dag_id == config.RELEASE_DAG:
        values = rows.released(results["release"])
    else:
        values = rows.ended(results, dag_run.end_date)
    case_id = _write(connection, dag_run, values, results)
    if case_id and values.get("decision"):
        if not values["waits"]:  # Otherwise the task has said what to do.
            dag_run.note = rows.sentence(values)
        if not values.get("replaced"):
            table.replace_earlier(connection, case_id)


@_in_transaction
def failed(connection: Connection, dag_run: DagRun) -> None:
    """Write that a case has failed. A form that was answered too late leaves its case as it is."""
    if dag_run.dag_id == config.FORGET_DAG:
        _forget(connection, dag_run)  # It has failed for some objects, and not for others.
        return
    results = _results(connection, dag_run)
    answered = dag_run.dag_id == config.REVIEW_DAG and results.get("review")
    if answered or dag_run.dag_id == config.CASE_DAG:
        _write(connection, dag_run, rows.failed(results, dag_run.end_date), results)


def _write(
    connection: Connection, dag_run: DagRun, values: dict[str, Any], results: dict[str, Any]
) -> str | None:
    """Write the row of the case that a run is about, and return the id of the case.

    A case whose key a person has typed gets its id in *fetch*.
    """
    conf = dag_run.conf or {}
    case_id: str | None = conf.get("case_id") or results.get("fetch", {}).get("case_id")
    if case_id:
        run_id = dag_run.run_id if dag_run.dag_id == config.CASE_DAG else None
        new = rows.added(case_id, run_id, conf, dag_run.queued_at)
        table.write(connection, case_id, values, new=new)
    return case_id


def _carried(dag_run: DagRun) -> dict[str, Any]:
    """Return the results of the tasks of a case that the run of its form carries."""
    conf = dag_run.conf or {}
    carried = {"fetch": conf.get("pinned"), "classify": conf.get("scored")}
    return {task: result for task, result in carried.items() if result}


def _forget(connection: Connection, dag_run: DagRun) -> None:
    """Remove what the index says of the objects that a run has forgotten."""
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    query = select(XComModel.value).where(
        XComModel.dag_id == dag_run.dag_id,
        XComModel.run_id == dag_run.run_id,
        XComModel.key == config.FORGOTTEN,
    )
    for value in connection.execute(query).scalars():
        table.forget(connection, value)


def _results(connection: Connection, dag_run: DagRun) -> dict[str, Any]:
    """Return the results of the tasks of a run by their ids, and what the case waits for.

    A task that was skipped is left out: it may still have the result of an earlier attempt. So is a
    task without a result: if a person ends a run, Airflow takes all of its tasks for successful.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XCOM_RETURN_KEY, XComModel
    from sqlalchemy import and_, select

    columns = ("dag_id", "run_id", "task_id", "map_index")
    same = [getattr(XComModel, name) == getattr(TaskInstance, name) for name in columns]
    query = (
        select(TaskInstance.task_id, XComModel.key, XComModel.value)
        .join(XComModel, and_(*same))
        .where(
            TaskInstance.dag_id == dag_run.dag_id,
            TaskInstance.run_id == dag_run.run_id,
            TaskInstance.state == "success",
            XComModel.key.in_((XCOM_RETURN_KEY, config.WAITS_FOR)),
        )
    )
    return {
        task if key == XCOM_RETURN_KEY else key: value
        for task, key, value in connection.execute(query)
        if value is not None
    }
