"""xray.airflow.index.run_listener: the row and the note after each change of a run's state"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pluggy
import pytest
from airflow.listeners.spec import dagrun
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.sqlalchemy import prohibit_commit
from airflow.utils.types import DagRunType
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from tests.support.case_results import CLASSIFIED, FETCHED, outcome
from tests.support.index_database import new_database
from xray.airflow import config
from xray.airflow.index.run_listener import failed, running, success
from xray.airflow.index.table import CASES
from xray.case import Decision
from xray.case.manifest import REVIEW
from xray_plugin import XrayPlugin

START = datetime(2026, 1, 2, tzinfo=UTC)
CASE, OTHER = "c" * 32, "d" * 32


@pytest.fixture
def session() -> Iterator[Session]:
    """Airflow's tables and the index, in a database of the test."""
    with Session(new_database()) as session:
        yield session


def run(
    session: Session,
    dag_id: str = config.CASE_DAG,
    case_id: str | None = CASE,
    *,
    later: int = 0,
    results: dict[str, Any] | None = None,
) -> DagRun:
    """A run in the database, whose tasks have succeeded with ``results``.

    The result with the name of *waits for* is a second one of *classify*.
    """
    conf = {"case_id": case_id, "bucket": "a-bucket", "origin": "ceph"} if case_id else {"key": "k"}
    at = START + timedelta(minutes=later)
    row = DagRun(
        dag_id=dag_id,
        run_id=f"xray__{case_id}" if case_id else "manual__1",
        run_type=DagRunType.MANUAL,
        queued_at=at,
        run_after=at,
        start_date=at + timedelta(seconds=1),
        conf=conf,
    )
    row.end_date = at + timedelta(seconds=9)
    session.add(row)
    session.flush()
    for task_id, result in (results or {}).items():
        waits = task_id == config.WAITS_FOR
        task = "classify" if waits else task_id
        key = {"dag_id": dag_id, "run_id": row.run_id, "task_id": task, "map_index": -1}
        if not waits:
            state = {"state": "success", "pool": "default_pool", "max_tries": 0}
            session.execute(insert(TaskInstance).values(**key, **state))
        if result is not None:
            name = config.WAITS_FOR if waits else "return_value"
            session.execute(
                insert(XComModel).values(**key, dag_run_id=row.id, key=name, value=result)
            )
    return row


def done(decision: Decision = Decision.ANONYMIZED, **changes: Any) -> dict[str, Any]:
    """The results of the tasks of a case."""
    return {
        "fetch": {**FETCHED, **changes},
        "classify": CLASSIFIED,
        config.WAITS_FOR: REVIEW,
        "store": outcome(decision),
    }


def index(session: Session) -> dict[str, Any]:
    """The rows of the index by the ids of the cases."""
    return {row.case_id: row for row in session.execute(select(CASES))}


def test_a_case_is_there_from_its_start_and_has_its_outcome_at_its_end(session: Session) -> None:
    dag_run = run(session, results=done(patient="p" * 32))
    running(dag_run)
    (row,) = index(session).values()
    assert (row.case_id, row.run_id, row.state) == (CASE, f"xray__{CASE}", "running")
    assert (row.bucket, row.origin, row.label) == ("a-bucket", "ceph", None)
    assert row.received.replace(tzinfo=UTC) == START
    success(dag_run)
    (row,) = index(session).values()
    assert (row.state, row.label, row.risk, row.attempt) == ("finished", "Pneumonia", 0.99, 2)
    assert (row.decision, row.object, row.patient) == (
        "published and anonymised",
        "o" * 32,
        "p" * 32,
    )
    assert dag_run.note == "Pneumonia, 99 %, published and anonymised"


def test_the_note_of_a_failure_is_replaced_and_that_of_a_quarantine_stays(session: Session) -> None:
    first = run(session, results=done())
    first.note = "store failed: the store was full."
    success(first)
    assert first.note == "Pneumonia, 99 %, published and anonymised"
    second = run(session, case_id=OTHER, results=done(Decision.QUARANTINED))
    second.note = "Quarantined: decide on it."
    success(second)
    assert second.note == "Quarantined: decide on it."
    assert index(session)[OTHER].waits == "release"


def test_a_later_case_replaces_the_earlier_ones_of_its_object(session: Session) -> None:
    waiting = {**done(), "store": None}
    for number, (case_id, results) in enumerate(
        {"a" * 32: done(), "b" * 32: {k: v for k, v in waiting.items() if k != "store"}}.items()
    ):
        success(run(session, case_id=case_id, later=number, results=results))
    failed(run(session, case_id="f" * 32, results={"fetch": FETCHED}))
    stranger = run(session, case_id="e" * 32, results=done(object="x" * 32))
    success(stranger)
    success(run(session, later=5, results=done()))
    found = index(session)
    assert {case_id[0]: row.replaced for case_id, row in found.items()} == {
        "a": True,
        "b": True,
        "c": False,
        "e": False,
        "f": False,
    }
    assert (found["b" * 32].state, found["b" * 32].waits) == ("finished", None)


def test_a_superseded_case_replaces_nothing(session: Session) -> None:
    success(run(session, case_id=OTHER, results=done()))
    success(run(session, later=1, results=done(Decision.SUPERSEDED)))
    found = index(session)
    assert (found[OTHER].replaced, found[CASE].replaced) == (False, True)


def test_a_case_of_an_unknown_object_replaces_nothing(session: Session) -> None:
    """An earlier version has fetched the object; others have failed before they knew theirs."""
    failed(run(session, case_id=OTHER))
    success(run(session, later=1, results=done(object=None)))
    assert {case_id: row.replaced for case_id, row in index(session).items()} == {
        CASE: False,
        OTHER: False,
    }


def test_a_run_that_a_person_ends_is_no_longer_under_way(session: Session) -> None:
    dag_run = run(session, results=dict.fromkeys(("fetch", "review", "store")))
    running(dag_run)
    success(dag_run)
    row = index(session)[CASE]
    assert (row.state, row.decision) == ("finished", None)
    assert dag_run.note is None


def test_a_review_and_a_release_change_the_row_of_their_case(session: Session) -> None:
    case = run(session, results={k: v for k, v in done().items() if k != "store"})
    success(case)
    assert index(session)[CASE].state == "waiting"
    answered = {"review": CLASSIFIED, "store": outcome(Decision.QUARANTINED)}
    success(run(session, config.REVIEW_DAG, results=answered))
    row = index(session)[CASE]
    assert (row.state, row.decision, row.waits) == ("finished", "quarantined", "release")
    decided = {"release": "published and anonymised"}
    success(run(session, config.RELEASE_DAG, results=decided))
    row = index(session)[CASE]
    assert (row.decision, row.waits) == ("published and anonymised", None)


def test_a_form_completes_a_row_that_was_lost(session: Session) -> None:
    form = run(session, config.REVIEW_DAG, results={"store": outcome(Decision.PUBLISHED)})
    form.conf = {**form.conf, "pinned": FETCHED, "scored": CLASSIFIED}
    success(form)
    row = index(session)[CASE]
    assert (row.object, row.model, row.run_id) == ("o" * 32, "1.0", f"xray__{CASE}")


def test_a_form_without_an_answer_changes_nothing(session: Session) -> None:
    case = run(session, results={k: v for k, v in done().items() if k != "store"})
    success(case)
    before = index(session)
    # Airflow takes all tasks of a run that is ended from outside for successful.
    success(run(session, config.REVIEW_DAG, results=dict.fromkeys(("review", "store"))))
    success(run(session, config.RELEASE_DAG, case_id=OTHER, results={"release": None}))
    failed(run(session, config.RELEASE_DAG))
    assert index(session) == before


@pytest.mark.parametrize("dag_id", [config.CASE_DAG, config.REVIEW_DAG])
def test_a_failed_case_is_in_the_index(session: Session, dag_id: str) -> None:
    results = {"review": CLASSIFIED} if dag_id == config.REVIEW_DAG else {}
    failed(run(session, dag_id, results=results))
    row = index(session)[CASE]
    assert (row.state, row.run_id) == ("failed", f"xray__{CASE}")


@pytest.mark.parametrize("end", [success, failed])
def test_a_deletion_leaves_nothing_of_the_image_in_the_index(session: Session, end: Any) -> None:
    success(run(session, results=done(patient="p" * 32)))
    success(run(session, case_id=OTHER, results=done(object="x" * 32)))
    deletion = run(session, config.FORGET_DAG, results={"forget": None})
    session.execute(
        insert(XComModel).values(
            dag_id=deletion.dag_id,
            run_id=deletion.run_id,
            task_id="forget",
            map_index=-1,
            dag_run_id=deletion.id,
            key=config.FORGOTTEN,
            value=["o" * 32],
        )
    )
    end(deletion)
    row = index(session)[CASE]
    assert (row.state, row.decision, row.replaced) == ("finished", "deleted", True)
    for name in ("label", "risk", "refused", "waits", "object", "patient"):
        assert getattr(row, name) is None
    assert index(session)[OTHER].decision == "published and anonymised"


def test_a_case_whose_object_was_deleted_meanwhile_names_nobody(session: Session) -> None:
    dag_run = run(session, results=done(Decision.DELETED, patient="p" * 32))
    success(dag_run)
    row = index(session)[CASE]
    assert (row.decision, row.label, row.object, row.patient) == ("deleted", None, None, None)
    assert dag_run.note == "deleted"


def test_a_typed_key_has_a_row_once_fetch_has_given_the_case_its_id(session: Session) -> None:
    dag_run = run(session, case_id=None, results=done())
    running(dag_run)
    assert index(session) == {}
    success(dag_run)
    assert index(session)[CASE].run_id == "manual__1"


def test_the_index_is_written_in_the_transaction_of_the_scheduler(session: Session) -> None:
    with prohibit_commit(session):
        running(run(session))
    session.rollback()
    assert index(session) == {}


def test_a_failure_leaves_the_run_and_its_session_alone(
    session: Session, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    CASES.drop(session.connection())
    dag_run = run(session, results=done())
    dag_run.state = "success"
    success(dag_run)
    session.flush()
    assert session.scalar(select(DagRun.state)) == "success"
    assert "python -m xray index" in caplog.text + capsys.readouterr().out


def test_runs_of_other_dags_are_left_alone(session: Session) -> None:
    running(run(session, "somebody_elses"))
    assert index(session) == {}


def test_the_plugin_hands_on_what_airflow_tells(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = pluggy.PluginManager("airflow")
    manager.add_hookspecs(dagrun)
    for listener in XrayPlugin.listeners:
        manager.register(listener)
    monkeypatch.setattr("airflow.models.dagrun.get_listener_manager", lambda: manager)
    dag_run = run(session, results=done())
    for state in ("running", "success", "failed"):
        dag_run.state = state
        dag_run.notify_dagrun_state_changed(msg="a change")
        expected = {"success": "finished"}.get(state, state)
        assert index(session)[CASE].state == expected
