"""xray.airflow.case.review: a case that waits, and the answers to its form"""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import AirflowSkipException, DownstreamTasksSkipped, TaskAwaitingInput

from tests.support import KEYRING
from tests.support.cases import BUCKET, carried, pinned_again, upload
from tests.support.fake_api import FakeApi
from xray import audit
from xray.airflow.case import review as forms
from xray.airflow.case import tasks
from xray.airflow.config import WAITS_FOR
from xray.case import Scored, Work, hand_over, pictures, steps
from xray.errors import StaleError
from xray.settings import Settings
from xray.storage import ObjectStore

SCORED = Scored(risk=0.7, label="Unsure", model="m")
ASKS = {"review_unsure": True, "normal_below": 0.6, "pneumonia_above": 0.8}


PUSHED: dict[str, Any] = {}
"""What a task has left in Airflow's database beside its result."""


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The forms that the operator opens, in place of rows in Airflow's database."""
    rows: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **form: rows.append(form))
    return rows


@pytest.fixture
def work(connected: Any, store: ObjectStore, demo_images: list[Any]) -> Work:
    """A case that was fetched, under settings that ask for a review."""
    work = upload(connected, store, demo_images[0].read_bytes())
    work = dataclasses.replace(work, settings=Settings(**ASKS))
    return carried(work, steps.fetch(work))


def context(work: Work, dag_id: str, run_id: str, **params: Any) -> dict[str, Any]:
    """The context of the task *review* of a run."""
    ti = SimpleNamespace(
        id="1",
        dag_id=dag_id,
        run_id=run_id,
        task_id="review",
        try_number=1,
        max_tries=6,
        map_index=-1,
        xcom_pull=lambda **_: pinned_again(work).to_json(),
        xcom_push=lambda key, value: PUSHED.update({key: value}),
    )
    params = {**work.source.to_conf(KEYRING, work.case_id), **params}
    dag_run = SimpleNamespace(triggering_user_name=None)
    return {"ti": ti, "task_instance": ti, "params": params, "dag_run": dag_run}


def ask(work: Work, api: FakeApi) -> dict[str, Any]:
    """Let a case wait for a review; return the conf of its form."""
    operator = forms.ReviewRequestOperator(
        task_id="review", pinned=pinned_again(work).to_json(), scored=hand_over(work, SCORED)
    )
    operator.allow_nested_operators = True
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        operator.execute(context(work, "xray_case", "run-1"))
    assert list(skipped.value.tasks) == forms.AFTER_REVIEW
    ((run_id, conf),) = api.runs.items()
    assert run_id == f"xray__{work.case_id}__{work.claim}"
    assert api.dags[run_id] == "xray_review"
    return dict(conf)


def form_of(conf: dict[str, Any], work: Work) -> tuple[forms.ReviewOperator, dict[str, Any]]:
    """The operator of a form, and its context."""
    operator = forms.ReviewOperator(task_id="review")
    operator.allow_nested_operators = True
    run_id = f"xray__{work.case_id}__{work.claim}"
    return operator, context(work, "xray_review", run_id, **conf)


def answer(choice: str) -> dict[str, Any]:
    """An event as Airflow makes it of a person's answer."""
    return {
        "chosen_options": [choice],
        "params_input": {},
        "responded_at": datetime(2026, 1, 2, tzinfo=UTC),
        "responded_by_user": {"id": "1", "name": "ben"},
    }


def test_a_case_waits_without_a_run_and_its_form_takes_it_further(
    work: Work, api: FakeApi, opened: list[dict[str, Any]]
) -> None:
    PUSHED.clear()
    conf = ask(work, api)
    assert PUSHED == {WAITS_FOR: "review"}
    assert "Ashgrove" not in str(conf)
    assert api.notes["run-1"] == forms.WAITS
    operator, where = form_of(conf, work)
    with pytest.raises(TaskAwaitingInput):
        operator.execute(where)
    (form,) = opened
    for view in pictures.View:
        assert f"/xray/review/{BUCKET}/{work.case_id}/1/{view.value})" in form["body"]
    assert "Ada" not in form["body"]
    result = operator.execute_complete(where, answer("Pneumonia"))
    assert (result["label"], result["review"]["by"]) == ("Pneumonia", "ben")
    (record,) = audit.records(work.store, work.buckets.audit, work.case_id)
    assert (record["outcome"], record["claim"]) == ("reviewed", 1)
    assert work.manifest.read()[0].waiting is None


def test_an_answer_after_a_rerun_is_refused_and_the_case_is_left_alone(
    work: Work, api: FakeApi, opened: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = ask(work, api)
    operator, where = form_of(conf, work)
    monkeypatch.setattr(tasks, "get_current_context", lambda: where)
    again = steps.fetch(dataclasses.replace(work, token="run-1:fetch:13", claim=0))
    assert again.claim == 2
    with pytest.raises(StaleError):
        operator.execute_complete(where, answer("Normal"))
    assert "run again" in api.notes[where["ti"].run_id]
    manifest, _ = work.manifest.read()
    assert [claim.number for claim in manifest.claims] == [2], "the rerun goes on"
    before = len(audit.records(work.store, work.buckets.audit, work.case_id))
    tasks.record_failed_case(where)
    assert len(audit.records(work.store, work.buckets.audit, work.case_id)) == before
    assert "run again" in api.notes[where["ti"].run_id], "the note stays"
    with pytest.raises(StaleError):
        operator.execute(where)
    assert opened == []


def test_a_form_whose_time_is_over_asks_nobody(
    work: Work, api: FakeApi, opened: list[dict[str, Any]]
) -> None:
    conf = ask(work, api)
    conf["request"]["until"] = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    operator, where = form_of(conf, work)
    assert operator.execute(where)["label"] == "Unsure"
    assert opened == []
    (record,) = audit.records(work.store, work.buckets.audit, work.case_id)
    assert record["outcome"] == "expired"


def test_a_label_that_needs_no_review_is_skipped(work: Work) -> None:
    operator = forms.ReviewRequestOperator(
        task_id="review",
        pinned=pinned_again(work).to_json(),
        scored=hand_over(work, Scored(risk=0.1, label="Normal", model="m")),
    )
    operator.allow_nested_operators = True
    with pytest.raises(AirflowSkipException):
        operator.execute(context(work, "xray_case", "run-1"))
    assert work.manifest.read()[0].waiting is None


def test_a_form_that_was_open_before_the_upgrade_takes_its_answer(work: Work) -> None:
    operator = forms.ReviewRequestOperator(
        task_id="review", pinned=pinned_again(work).to_json(), scored=hand_over(work, SCORED)
    )
    operator.allow_nested_operators = True
    result = operator.execute_complete(context(work, "xray_case", "run-1"), answer("Normal"))
    assert result["label"] == "Normal"
    (record,) = audit.records(work.store, work.buckets.audit, work.case_id)
    assert (record["outcome"], record["scored"]["review"]["by"]) == ("reviewed", "ben")
