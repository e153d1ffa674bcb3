"""xray.airflow.case.review: a case that waits, and the answers to its form"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import DownstreamTasksSkipped, TaskAwaitingInput

from tests.support import KEYRING
from tests.support.cases import BUCKET, carried, pinned_again, published, upload
from tests.support.fake_api import FakeApi
from xray import audit
from xray.airflow.case import asking, tasks
from xray.airflow.case import review as forms
from xray.airflow.config import WAITS_FOR
from xray.case import Scored, Work, hand_over, pictures, steps
from xray.case.manifest import REVIEW
from xray.case.requests import waiting_request
from xray.errors import StaleError, TransientError
from xray.settings import Settings
from xray.storage import ObjectStore

SCORED = Scored(risk=0.7, label="Unsure", model="m")
ASKS = Settings(review_unsure=True, normal_below=0.0, pneumonia_above=1.0)
"""Every image is Unsure."""


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
    work = dataclasses.replace(work, settings=ASKS)
    return carried(work, steps.fetch(work))


def context(
    work: Work,
    dag_id: str,
    run_id: str,
    task_id: str = "review",
    *,
    earlier: dict[str, Any] | None = None,
    **params: Any,
) -> dict[str, Any]:
    """The context of a task of a run, in which ``earlier`` tasks have left results."""
    results = {"fetch": pinned_again(work).to_json(), **(earlier or {})}
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        id="1",
        dag_id=dag_id,
        run_id=run_id,
        task_id=task_id,
        try_number=1,
        max_tries=6,
        map_index=-1,
        pushed=pushed,
        xcom_pull=lambda *, task_ids, key=None: None if key else results.get(task_ids),
        xcom_push=lambda key, value: pushed.update({key: value}),
    )
    params = {**work.source.to_conf(KEYRING, work.case_id), **params}
    dag_run = SimpleNamespace(triggering_user_name=None)
    task = SimpleNamespace(outlets=[])
    return {"ti": ti, "task_instance": ti, "task": task, "params": params, "dag_run": dag_run}


Runs = Callable[..., Any]


@pytest.fixture
def run_task(monkeypatch: pytest.MonkeyPatch) -> Runs:
    """Run a task with its context and arguments, and return its result."""

    def run(task: Any, where: dict[str, Any], *arguments: Any) -> Any:
        monkeypatch.setattr(tasks, "get_current_context", lambda: where)
        return task.function(*arguments)

    return run


def ask(work: Work, api: FakeApi, run_task: Runs) -> dict[str, Any]:
    """Let a case wait for a review; return the conf of its form."""
    where = context(work, "xray_case", "run-1", "classify")
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        run_task(tasks.classify, where, pinned_again(work).to_json())
    assert list(skipped.value.tasks) == ["annotate", "anonymize", "store"]
    assert where["ti"].pushed[WAITS_FOR] == "review"
    assert where["ti"].pushed["return_value"]["label"] == "Unsure"
    run_id, conf = list(api.runs.items())[-1]
    assert run_id == f"xray__{work.case_id}__{conf['request']['claim']}"
    assert api.dags[run_id] == "xray_review"
    return dict(conf)


def form_of(conf: dict[str, Any], work: Work) -> tuple[forms.ReviewOperator, dict[str, Any]]:
    """The operator of a form, and its context."""
    operator = forms.ReviewOperator(task_id="review")
    operator.allow_nested_operators = True
    run_id = f"xray__{work.case_id}__{conf['request']['claim']}"
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
    work: Work, api: FakeApi, opened: list[dict[str, Any]], run_task: Runs
) -> None:
    conf = ask(work, api, run_task)
    assert "Ashgrove" not in str(conf)
    assert api.notes["run-1"] == asking.WAITS
    operator, where = form_of(conf, work)
    with pytest.raises(TaskAwaitingInput):
        operator.execute(where)
    (form,) = opened
    for view in pictures.View:
        assert f"/xray/review/{BUCKET}/{work.case_id}/1/{view.value})" in form["body"]
    assert f"[The case](/xray/cases/{work.case_id})" in form["body"]
    assert "Ada" not in form["body"]
    result = operator.execute_complete(where, answer("Pneumonia"))
    assert (result["label"], result["review"]["by"]) == ("Pneumonia", "ben")
    (record,) = audit.records(work.store, work.buckets.audit, work.case_id)
    assert (record["outcome"], record["claim"]) == ("reviewed", 1)
    assert work.manifest.read()[0].waiting is None


def test_an_answer_after_a_rerun_is_refused_and_the_case_is_left_alone(
    work: Work,
    api: FakeApi,
    opened: list[dict[str, Any]],
    run_task: Runs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conf = ask(work, api, run_task)
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
    work: Work, api: FakeApi, opened: list[dict[str, Any]], run_task: Runs
) -> None:
    conf = ask(work, api, run_task)
    past = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    work.manifest.change(
        lambda manifest: dataclasses.replace(
            manifest, waiting=dataclasses.replace(manifest.waiting, until=past)
        )
    )
    operator, where = form_of(conf, work)
    assert operator.execute(where)["label"] == "Unsure"
    assert opened == []
    (record,) = audit.records(work.store, work.buckets.audit, work.case_id)
    assert record["outcome"] == "expired"


def test_a_label_that_needs_no_review_does_not_wait(
    work: Work, api: FakeApi, run_task: Runs
) -> None:
    """Nor is it asked for if a later case of the object has taken over."""
    sure = dataclasses.replace(
        work, settings=dataclasses.replace(ASKS, normal_below=1.0, pneumonia_above=1.0)
    )
    where = context(sure, "xray_case", "run-1", "classify")
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        run_task(tasks.classify, where, pinned_again(sure).to_json())
    assert list(skipped.value.tasks) == ["anonymize"]
    steps.fetch(dataclasses.replace(work, token="run-2:fetch:6", claim=0))
    where = context(work, "xray_case", "run-1", "classify")
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        run_task(tasks.classify, where, pinned_again(work).to_json())
    assert list(skipped.value.tasks) == ["anonymize"]
    assert set(where["ti"].pushed) == {"return_value"}
    assert api.runs == {}


def test_a_try_that_is_repeated_asks_once(work: Work, api: FakeApi, run_task: Runs) -> None:
    first = ask(work, api, run_task)
    request = waiting_request(work, REVIEW)
    assert ask(work, api, run_task) == first
    assert waiting_request(work, REVIEW) == request


def test_people_are_told_after_all_else_is_done(
    work: Work, api: FakeApi, run_task: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = context(work, "xray_case", "run-1", "classify")
    said: list[bool] = []

    def tell(*_: Any) -> None:
        said.append({WAITS_FOR, "return_value"} <= set(where["ti"].pushed))
        raise TransientError("The worker is out of breath.")

    monkeypatch.setattr(asking.told, "waits", tell)
    with pytest.raises(TransientError):
        run_task(tasks.classify, where, pinned_again(work).to_json())
    assert said == [True]
    assert len(api.runs) == 1
    assert waiting_request(work, REVIEW) is not None


def test_a_case_that_is_classified_again_is_asked_for_again(
    work: Work, api: FakeApi, opened: list[dict[str, Any]], run_task: Runs
) -> None:
    """Each time, a form of its own asks, and what was published before stays until the answer."""
    for number, label in enumerate(("Normal", "Pneumonia", "Normal"), 1):
        conf = ask(work, api, run_task)
        assert conf["request"]["claim"] == number
        operator, where = form_of(conf, work)
        reviewed = operator.execute_complete(where, answer(label))
        arguments = (conf["pinned"], conf["scored"])
        annotated = run_task(tasks.annotate, where, *arguments, reviewed)
        where["ti"].task_id = "store"
        redacted = run_task(tasks.anonymize, where, *arguments, reviewed) if number == 2 else None
        end = run_task(tasks.store, where, *arguments, annotated, redacted, reviewed)
        assert (end["label"], end["attempt"]) == (label, number)
    assert len(api.runs) == 3
    records = audit.records(work.store, work.buckets.audit, work.case_id)
    assert [record["outcome"] for record in records] == 3 * ["reviewed", "succeeded"]


def test_a_form_that_has_failed_opens_again_when_the_case_is_classified_again(
    work: Work, api: FakeApi, opened: list[dict[str, Any]], run_task: Runs
) -> None:
    conf = ask(work, api, run_task)
    (run_id,) = api.runs
    api.states[run_id] = "failed"
    assert ask(work, api, run_task) == conf
    assert api.states[run_id] == "queued"


def upgraded(work: Work) -> tuple[Work, dict[str, Any]]:
    """A case of version 0.1.0, which has no claim, and the result of its *fetch*."""
    old = dataclasses.replace(work, claim=0)
    pinned = pinned_again(old).to_json()
    for name in ("claim", "object", "patient", "schema"):
        del pinned[name]
    return old, pinned


def test_a_form_that_was_open_before_the_upgrade_is_opened_as_a_run(
    work: Work, api: FakeApi, opened: list[dict[str, Any]], run_task: Runs, connected: Any
) -> None:
    """Airflow removes the task *review* from the run, and goes on with *annotate*."""
    old, pinned = upgraded(work)
    connected.delete_object(Bucket=work.buckets.manifests, Key=f"objects/{work.source.key}")
    where = context(old, "xray_case", "run-1", "annotate")
    with pytest.raises(DownstreamTasksSkipped) as skipped:
        run_task(tasks.annotate, where, pinned, SCORED.to_json())
    assert list(skipped.value.tasks) == ["anonymize", "store"]
    assert where["ti"].pushed == {WAITS_FOR: "review"}
    ((_, conf),) = api.runs.items()
    operator, where = form_of(conf, old)
    with pytest.raises(TaskAwaitingInput):
        operator.execute(where)
    reviewed = operator.execute_complete(where, answer("Normal"))
    assert reviewed["label"] == "Normal"
    arguments = (conf["pinned"], conf["scored"])
    annotated = run_task(tasks.annotate, where, *arguments, reviewed)
    where["ti"].task_id = "store"
    end = run_task(tasks.store, where, *arguments, annotated, None, reviewed)
    assert (end["label"], end["decision"]) == ("Normal", "published")
    assert len(published(connected)[0]) == 1


def test_a_review_that_was_answered_before_the_upgrade_counts(
    work: Work, api: FakeApi, run_task: Runs, connected: Any
) -> None:
    pinned, answered = (
        pinned_again(work).to_json(),
        dataclasses.replace(SCORED, label="Normal", review={"by": "ben", "choice": "Normal"}),
    )
    where = context(work, "xray_case", "run-1", "annotate", earlier={"review": answered.to_json()})
    annotated = run_task(tasks.annotate, where, pinned, hand_over(work, SCORED))
    end = run_task(tasks.store, where, pinned, hand_over(work, SCORED), annotated, None)
    assert end["label"] == "Normal"
    assert api.runs == {}
