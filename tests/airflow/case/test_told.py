"""xray.airflow.case.told: people are told of a case after it is true, once, and without a name"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import DownstreamTasksSkipped

from tests.support import KEYRING
from tests.support.cases import BUCKET, KEY, carried, run_steps, upload
from tests.support.fake_api import FakeApi
from tests.support.people import WebHook
from xray.airflow.case import params as case_params
from xray.airflow.case import release, tasks
from xray.case import Pinned, Scored, Staged, Work, hand_over, steps
from xray.case.manifest import RELEASE
from xray.case.requests import waiting_request
from xray.errors import ImageError, StaleError, TransientError
from xray.settings import Policy, Settings
from xray.storage import ObjectStore

HTTP = "airflow.providers.http.notifications.http.HttpNotifier"
EVENTS = ["failed", "quarantined", "review", "high_risk"]
NAMES = ("Ada", "Ashgrove", "1957", "2016", "demo_", "jpeg")
"""What the object key has, and no notice may have."""
UNSURE = Scored(risk=0.7, label="Unsure", model="m")
SICK = Scored(risk=0.93117, label="Pneumonia", model="m")


@pytest.fixture(autouse=True)
def hook(connected: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebHook]:
    """What people are told, of all events of a case."""
    hook = WebHook()
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", json.dumps({"conn_type": "http", "host": hook.url}))
    entry = {"notifier": HTTP, "on": EVENTS, "arguments": {"http_conn_id": "hook"}}
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_NOTICES", json.dumps([entry]))
    yield hook
    hook.close()


@pytest.fixture
def work(connected: Any, store: ObjectStore, demo_images: list[Any]) -> Work:
    """A case whose object was uploaded."""
    return upload(connected, store, demo_images[0].read_bytes())


def context(work: Work, task_id: str, dag_id: str = "xray_case", **params: Any) -> dict[str, Any]:
    """The context of a task of the case."""
    pushed: dict[str, Any] = {}
    ti = SimpleNamespace(
        id="1",
        dag_id=dag_id,
        run_id=f"xray__{work.case_id}",
        task_id=task_id,
        try_number=1,
        max_tries=6,
        map_index=-1,
        xcom_pull=lambda *, task_ids, key=None: pushed.get(key) if key else None,
        xcom_push=lambda *, key, value: pushed.update({key: value}),
    )
    defaults = {name: param.value for name, param in case_params.CASE_PARAMS.items()}
    params = {**defaults, **work.source.to_conf(KEYRING, work.case_id), **params}
    dag_run = SimpleNamespace(triggering_user_name=None)
    task = SimpleNamespace(outlets=[])
    return {"ti": ti, "task_instance": ti, "task": task, "params": params, "dag_run": dag_run}


def only(hook: WebHook, event: str, work: Work) -> dict[str, Any]:
    """The one notice, which is about this event of the case, and names nobody."""
    (notice,) = hook.notices
    assert notice["event"] == event
    assert notice["case_id"] == work.case_id
    assert notice["run_id"] == f"xray__{work.case_id}"
    text = json.dumps(notice)
    assert not [name for name in NAMES if name in text], text
    return dict(notice)


def store_task(
    monkeypatch: pytest.MonkeyPatch, work: Work, pinned: Pinned, scored: Scored, *staged: Any
) -> dict[str, Any]:
    """Run the task *store*; return its context."""
    where = context(work, "store")
    monkeypatch.setattr(tasks, "get_current_context", lambda: where)
    images = [hand_over(work, image) if image else None for image in staged]
    tasks.store.function(pinned.to_json(), hand_over(work, scored), *images)
    return where


def annotated(work: Work, scored: Scored) -> tuple[Pinned, Work, Staged]:
    """The results of the steps before *store* for a score, without an anonymised image."""
    pinned = steps.fetch(work)
    work = carried(work, pinned)
    return pinned, work, steps.annotate(work, pinned, scored)


def test_a_failed_case_is_told_once(
    hook: WebHook, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = context(work, "fetch")
    monkeypatch.setattr(tasks, "get_current_context", lambda: where)

    @tasks.records_failure()
    def step() -> None:
        raise ImageError("The object is not an image.")

    with pytest.raises(ImageError):
        step()
    tasks.record_failed_case(where)  # The failure callback of the DAG.
    notice = only(hook, "failed", work)
    assert notice["sentence"] == "fetch failed: The object is not an image."


def test_a_failure_that_is_retried_is_not_told(
    hook: WebHook, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "get_current_context", lambda: context(work, "fetch"))

    @tasks.records_failure()
    def step() -> None:
        raise TransientError("The store is down.")

    with pytest.raises(TransientError):
        step()
    assert hook.notices == []


def test_a_case_whose_worker_died_is_told(hook: WebHook, work: Work) -> None:
    tasks.record_failed_case(context(work, "classify"))
    assert "classify failed: The worker died" in only(hook, "failed", work)["sentence"]


def test_a_high_risk_is_told_after_its_publication(
    hook: WebHook, work: Work, connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    hook.before = lambda: seen.append(
        connected.list_objects_v2(Bucket=f"{BUCKET}-processed")["KeyCount"]
    )
    work = dataclasses.replace(work, settings=Settings(anonymize=Policy.NEVER))
    pinned, work, image = annotated(work, SICK)
    store_task(monkeypatch, work, pinned, SICK, image, None)
    notice = only(hook, "high_risk", work)
    assert (notice["label"], notice["risk"]) == ("Pneumonia", "93%"), "rounded: see decision 0008"
    assert seen == [1]


@pytest.mark.parametrize(
    "scored", [UNSURE, Scored(risk=0.1, label="Normal", model="m")], ids=lambda one: one.label
)
def test_other_labels_are_not_told(
    hook: WebHook, work: Work, scored: Scored, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned, work, image = annotated(work, scored)
    store_task(monkeypatch, work, pinned, scored, image, None)
    assert hook.notices == []


def test_a_superseded_case_is_not_told(
    hook: WebHook, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned, later, image = annotated(work, SICK)
    steps.fetch(dataclasses.replace(work, token="run-2:fetch:6"))
    store_task(monkeypatch, later, pinned, SICK, image, None)
    assert hook.notices == []


def test_a_slow_or_failing_notifier_changes_nothing(
    hook: WebHook, work: Work, connected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook.status = 500
    pinned, work, image = annotated(work, SICK)
    store_task(monkeypatch, work, pinned, SICK, image, None)
    assert connected.list_objects_v2(Bucket=f"{BUCKET}-processed")["KeyCount"] == 1


def test_a_case_that_waits_for_a_review_is_told(
    hook: WebHook, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(review_unsure=True, normal_below=0.0, pneumonia_above=1.0)
    work = dataclasses.replace(work, settings=settings)
    pinned, scored, *_ = run_steps(work)
    monkeypatch.setattr(tasks, "get_current_context", lambda: context(work, "classify"))
    with pytest.raises(DownstreamTasksSkipped):
        tasks.classify.function(pinned.to_json())
    notice = only(hook, "review", work)
    risk = f"{work.settings.rounded(scored.risk):.0%}"
    assert (notice["label"], notice["risk"]) == ("Unsure", risk)
    assert "page Waiting" in notice["sentence"]


def test_a_quarantined_image_is_told_when_it_waits(
    hook: WebHook, work: Work, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = dataclasses.replace(work, settings=Settings(anonymize=Policy.ALWAYS))
    pinned, scored, image, redacted = run_steps(work)
    assert redacted is not None
    redacted = dataclasses.replace(
        redacted, redaction={**(redacted.redaction or {}), "quarantined": True}
    )
    work = carried(work, pinned)
    scored = dataclasses.replace(scored, label="Unsure", refused="upside down")
    store_task(monkeypatch, work, pinned, scored, image, redacted)
    notice = only(hook, "quarantined", work)
    assert (notice["label"], notice["risk"]) == ("Unsure", ""), "the risk means nothing"
    ((run_id, conf),) = api.runs.items()
    assert api.dags[run_id] == "xray_release"
    assert conf["request"]["kind"] == RELEASE
    assert "Quarantined" in api.notes[f"xray__{work.case_id}"]
    store_task(monkeypatch, work, pinned, scored, image, redacted)
    assert len(api.runs) == 1, "a try that is repeated asks once"
    told = len(hook.notices)
    steps.fetch(dataclasses.replace(work, token="run-2:fetch:6", claim=0))
    store_task(monkeypatch, work, pinned, scored, image, redacted)
    assert len(hook.notices) == told, "the image no longer waits"
    assert waiting_request(work, RELEASE) is None


def test_a_release_that_fails_is_told_once_and_a_late_answer_is_not(
    hook: WebHook, work: Work
) -> None:
    pinned = steps.fetch(work)
    params = {"pinned": pinned.to_json(), "scored": hand_over(work, UNSURE)}
    where = context(work, "release", "xray_release", **params)
    with pytest.raises(StaleError), release.noted(where):
        raise StaleError("Nothing was answered.")
    release.end_failed_release(where)
    assert hook.notices == []
    with pytest.raises(ImageError), release.noted(where):
        raise ImageError("The image is damaged.")
    release.end_failed_release(where)
    notice = only(hook, "failed", work)
    assert notice["sentence"] == "release failed: The image is damaged."
    assert notice["dag_id"] == "xray_release"


def test_a_release_whose_worker_died_is_told(hook: WebHook, work: Work) -> None:
    pinned = steps.fetch(work)
    params = {"pinned": pinned.to_json(), "scored": hand_over(work, UNSURE)}
    release.end_failed_release(context(work, "release", "xray_release", **params))
    assert "The worker died" in only(hook, "failed", work)["sentence"]


def test_the_names_of_the_test_are_in_the_key() -> None:
    assert all(name in KEY for name in NAMES)
