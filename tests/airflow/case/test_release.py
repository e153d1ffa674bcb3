"""xray.airflow.case.release: the answers to the form, by the operator itself"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.standard.operators import hitl
from airflow.sdk.exceptions import TaskAwaitingInput
from PIL import Image

from tests.support import KEYRING
from tests.support.audit_records import REDACTION, success
from tests.support.fake_api import FakeApi
from xray import audit
from xray.airflow.case import metrics
from xray.airflow.case.release import BOXES, ReleaseOperator, end_failed_release
from xray.case import Buckets, Decision, Pinned, Scored, Source, pictures, quarantine
from xray.case.manifest import ManifestFile
from xray.errors import ObjectError, StaleError
from xray.settings import Settings
from xray.storage import ObjectStore

BUCKET = "xray-data-in"
BUCKETS = Buckets(BUCKET)
RUN_ID = "xray__case__1"
SOURCE = Source(bucket=BUCKET, key="demo_Ada Ashgrove_1234.png", etag="e" * 32)
PINNED = Pinned(
    case_id=SOURCE.case_id(KEYRING),
    version_id=None,
    etag="e" * 32,
    sha256="0" * 64,
    size=1,
    modified="2026-01-01T00:00:00+00:00",
    format="PNG",
    width=640,
    height=480,
    settings=Settings().to_mapping(),
)
SCORED = Scored(risk=0.9, label="Pneumonia", model="m")


@pytest.fixture
def forms(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The forms that the operator opens, in place of rows in Airflow's database."""
    opened: list[dict[str, Any]] = []
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **form: opened.append(form))
    return opened


@pytest.fixture
def context(connected: Any, chest: Image.Image, as_bytes: Callable[..., bytes]) -> dict[str, Any]:
    """The context of the task, for a case whose image is in quarantine since version 0.1.0."""
    key, image = f"{PINNED.case_id}/image.png", as_bytes(chest, "PNG")
    connected.put_object(Bucket=BUCKETS.quarantine, Key=key, Body=image)
    output = {"bucket": BUCKETS.quarantine, "key": key, "size": len(image)}
    quarantined = {
        **success("store:6", {**REDACTION, "quarantined": True}),
        "decision": "quarantined",
        "outputs": [{**output, "sha256": hashlib.sha256(image).hexdigest()}],
    }
    audit.append(
        ObjectStore(connected), BUCKETS.audit, PINNED.case_id, quarantined, KEYRING.secrets
    )
    ti = SimpleNamespace(
        id="1",
        dag_id="xray_release",
        run_id=RUN_ID,
        task_id="release",
        try_number=1,
        max_tries=6,
        map_index=-1,
    )
    params = {**SOURCE.to_conf(KEYRING), "pinned": PINNED.to_json(), "scored": SCORED.to_json()}
    dag_run = SimpleNamespace(triggering_user_name=None)
    task = SimpleNamespace(outlets=[])
    return {"ti": ti, "task_instance": ti, "task": task, "params": params, "dag_run": dag_run}


@pytest.fixture
def operator() -> ReleaseOperator:
    """The operator, as the task runner would run it."""
    operator = ReleaseOperator(task_id="release", params=BOXES)
    operator.allow_nested_operators = True  # Airflow's safeguard: there is no task runner here.
    return operator


def answer(choice: str, boxes: str | None = None) -> dict[str, Any]:
    """An event as Airflow makes it of a person's answer."""
    return {
        "chosen_options": [choice],
        "params_input": {"boxes": boxes},
        "responded_at": datetime(2026, 1, 2, tzinfo=UTC),
        "responded_by_user": {"id": "1", "name": "ben"},
    }


def test_the_form_shows_the_image(
    operator: ReleaseOperator, context: dict[str, Any], forms: list[dict[str, Any]]
) -> None:
    with pytest.raises(TaskAwaitingInput):
        operator.execute(context)
    (form,) = forms
    for view in pictures.View:
        assert f"/xray/quarantine/{BUCKET}/{PINNED.case_id}/1/{view.value})" in form["body"]
    assert form["options"] == list(quarantine.RELEASE_CHOICES)
    assert "Ada" not in form["body"]


@pytest.mark.parametrize(
    ("choice", "boxes", "message"),
    [
        (quarantine.MASK, "0, 0, 500", "Box 1 is not four whole numbers"),
        (quarantine.MASK, "9, 9, 0, 0", "Box 1 is empty"),
        (quarantine.MASK, None, "'Mask and release' needs boxes"),
        (quarantine.RELEASE_AS_IT_IS, "0, 0, 5, 5", "'Release as it is' takes no boxes"),
        (quarantine.WITHHOLD, "0, 0, 5, 5", "'Keep in quarantine' takes no boxes"),
    ],
)
def test_a_typing_error_opens_the_form_again_at_once(
    operator: ReleaseOperator,
    context: dict[str, Any],
    forms: list[dict[str, Any]],
    api: FakeApi,
    store: ObjectStore,
    choice: str,
    boxes: str | None,
    message: str,
) -> None:
    """The task waits for input again in the same try: no failure, no retry, no pause."""
    with pytest.raises(TaskAwaitingInput) as waiting:
        operator.execute_complete(context, answer(choice, boxes))
    assert waiting.value.method_name == "execute_complete"
    assert len(forms) == 1
    assert api.notes[RUN_ID].startswith(f"Nothing was decided. {message}")
    assert api.notes[RUN_ID].endswith("The form is open again.")
    held = [entry.key for entry in store.list(BUCKETS.quarantine)]
    assert [key for key in held if not pictures.is_picture(key)] == [f"{PINNED.case_id}/image.png"]
    assert len(list(store.list(BUCKETS.audit))) == 1, "the record of the quarantine"

    decision = operator.execute_complete(context, answer(quarantine.MASK, "0, 0, 500, 390"))
    assert decision == Decision.ANONYMIZED
    assert api.notes[RUN_ID] == "published and anonymised", "the note gives the decision instead"
    _, record = audit.records(store, BUCKETS.audit, PINNED.case_id)
    assert record["release"]["boxes"] == [[0, 0, 500, 390]]
    assert record["release"]["by"] == "ben"
    assert list(store.list(BUCKETS.quarantine)) == []


def by(name: str, choice: str, boxes: str | None = None) -> dict[str, Any]:
    """An answer of a person."""
    return {**answer(choice, boxes), "responded_by_user": {"id": f"id of {name}", "name": name}}


def test_two_different_people_have_to_agree_if_the_deployment_asks_for_it(
    operator: ReleaseOperator,
    context: dict[str, Any],
    forms: list[dict[str, Any]],
    api: FakeApi,
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", '{"two_to_release": true}')
    for number, once in enumerate(
        (
            by("ben", quarantine.MASK, "0, 0, 500, 200"),
            by("ben", quarantine.MASK, "0, 0, 500, 200"),
            by("cleo", quarantine.RELEASE_AS_IT_IS),
            by("ben", quarantine.MASK, "0, 0, 500, 200"),
        )
    ):
        moment = datetime(2026, 1, 2, number, tzinfo=UTC)
        with pytest.raises(TaskAwaitingInput):
            operator.execute_complete(context, {**once, "responded_at": moment})
        name = once["responded_by_user"]["name"]
        assert api.notes[RUN_ID].startswith(f"{name} chose {once['chosen_options'][0]!r}: another")
    assert len(forms) == 4
    assert list(store.list(BUCKETS.anonymized)) == []

    second = by("cleo", quarantine.MASK, "0, 300, 500, 390")
    assert operator.execute_complete(context, second) == Decision.ANONYMIZED
    _, *agreed, released = audit.records(store, BUCKETS.audit, PINNED.case_id, KEYRING.secrets)
    assert [record["outcome"] for record in agreed] == ["agreed"] * 4
    assert [record["answer"]["by"] for record in agreed] == ["ben", "ben", "cleo", "ben"]
    assert released["release"]["by"] == "cleo"
    assert released["release"]["agreed"] == {"by": "ben", "at": "2026-01-02T03:00:00+00:00"}
    assert released["release"]["boxes"] == [[0, 0, 500, 200], [0, 300, 500, 390]]
    assert {record["attempt"] for record in (*agreed, released)} == {1}
    named = [
        (entry.key, store.get(BUCKETS.audit, entry.key).data) for entry in store.list(BUCKETS.audit)
    ]
    assert audit.verify(named, KEYRING.secrets).problems == ()


def test_one_person_may_keep_an_image_in_quarantine(
    operator: ReleaseOperator,
    context: dict[str, Any],
    api: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_SETTINGS", '{"two_to_release": true}')
    kept = operator.execute_complete(context, by("ben", quarantine.WITHHOLD))
    assert kept == Decision.QUARANTINED


@pytest.mark.parametrize(
    ("choice", "boxes", "counted"),
    [
        (quarantine.RELEASE_AS_IT_IS, "", (Decision.ANONYMIZED, 0)),
        (quarantine.MASK, "0, 0, 9, 9; 20, 20, 30, 30", (Decision.ANONYMIZED, 2)),
        (quarantine.WITHHOLD, "", (Decision.QUARANTINED, 0)),
    ],
)
def test_a_decision_is_counted(
    operator: ReleaseOperator,
    context: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    choice: str,
    boxes: str,
    counted: tuple[Decision, int],
) -> None:
    decisions = []
    monkeypatch.setattr(
        metrics, "decided", lambda *case, masked: decisions.append((case[-1], masked))
    )
    operator.execute_complete(context, answer(choice, boxes))
    assert decisions == [counted]


def test_a_refused_answer_is_said_in_the_note(
    operator: ReleaseOperator, context: dict[str, Any], api: FakeApi, store: ObjectStore
) -> None:
    decision = operator.execute_complete(context, answer(quarantine.RELEASE_AS_IT_IS))
    assert decision == Decision.ANONYMIZED
    context["ti"].run_id = "another"
    with pytest.raises(StaleError):
        operator.execute_complete(context, answer(quarantine.WITHHOLD))
    assert "no longer in" in api.notes["another"]


def test_a_release_that_fails_for_good_leaves_no_claim(
    operator: ReleaseOperator,
    context: dict[str, Any],
    store: ObjectStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ObjectError("The store forbids it.")

    monkeypatch.setattr(quarantine, "publish_anonymized", refuse)
    failures = []
    monkeypatch.setattr(metrics, "failed", lambda _, error: failures.append(type(error)))
    with pytest.raises(ObjectError):
        operator.execute_complete(context, answer(quarantine.RELEASE_AS_IT_IS))
    file = ManifestFile(store, BUCKETS.manifests, SOURCE.key)
    assert len(file.read()[0].claims) == 1
    end_failed_release(context)
    assert failures == [ObjectError, type(None)], "the second does not count again"
    assert file.read()[0].claims == ()
    held = [entry.key for entry in store.list(BUCKETS.quarantine)]
    assert f"{PINNED.case_id}/image.png" in held, "it can be decided on again"
