"""xray.airflow.jobs.forget: what a run selects, what it deletes, and what it says"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import KEYRING, SECRET
from tests.support.fake_api import FakeApi
from tests.support.model_cases import BUCKET, KEY, World, light_pixels, settings
from tests.support.model_store import stored_json
from xray.airflow import blocked, config
from xray.airflow.jobs import forget as job
from xray.case import Source, Work, forget, lookup, steps
from xray.errors import ForbiddenError, ObjectError, SettingsError
from xray.notification import ObjectRemoved
from xray.pseudonym import Keyring
from xray.settings import Settings

PUSHED: dict[str, Any] = {}
"""What the task has left for the index."""


@pytest.fixture(scope="module", autouse=True)
def _light() -> Iterator[None]:
    yield from light_pixels()


@pytest.fixture
def world(connected: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which a case has published its results, and the original is gone."""
    world = World(settings=settings("always"))
    monkeypatch.setattr("xray.airflow.connections.object_store", lambda: world.store)
    world.upload("pneumonia")
    world.go_on(world.deliver())
    world.store.delete(BUCKET, KEY)
    return world


def run(monkeypatch: pytest.MonkeyPatch, **params: Any) -> dict[str, int]:
    """Run the task with these params."""
    context = {
        "params": {"bucket": BUCKET, **params},
        "ti": SimpleNamespace(
            run_id="run-1",
            dag_id="xray_forget",
            task_id="forget",
            try_number=1,
            max_tries=6,
            xcom_push=lambda key, value: PUSHED.update({key: value}),
        ),
        "dag_run": SimpleNamespace(triggering_user_name="dr. b"),
    }
    for module in (job, blocked):
        monkeypatch.setattr(module, "get_current_context", lambda: context)
    counts: dict[str, int] = job.forget.function()
    return counts


def the_record(world: World) -> dict[str, Any]:
    """The one audit record that is left."""
    (record,) = stored_json(world.store, f"{BUCKET}-audit").values()
    return dict(record)


def patient_of(keyring: Keyring) -> str:
    """The pseudonym of the patient."""
    source = Source(bucket=BUCKET, key=KEY)
    return source.anonymized_keys(keyring, "", "")[0].partition("/")[0]


@pytest.mark.parametrize("selector", ["case_id", "patient", "key"])
def test_a_person_may_select_an_object_in_three_ways(
    world: World, api: FakeApi, monkeypatch: pytest.MonkeyPatch, selector: str
) -> None:
    case_id = world.runs[0].case_id
    values = {"case_id": case_id, "patient": patient_of(KEYRING) + "/", "key": KEY}
    counts = run(monkeypatch, **{selector: values[selector]})
    assert (counts["objects"], counts["forgotten"], counts["outputs"]) == (1, 1, 4)
    assert world.store.peek(f"{BUCKET}-manifests") == {}
    record = the_record(world)
    assert record["case_id"] == case_id
    assert record["deletion"]["by"] == record["run"]["triggered_by"] == "dr. b"
    assert record["deletion"]["reason"] == job.REQUESTED
    assert api.notes == {"run-1": "Objects forgotten: 1 of 1."}


def test_the_run_of_a_notification_names_no_one_who_asked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = ObjectRemoved(BUCKET, KEY, None, "ObjectRemoved:Delete", "2", None, "ceph")
    source = forget.removal_source(removed)
    assert run(monkeypatch, **forget.removal_conf(source, KEYRING))["forgotten"] == 1
    record = the_record(world)
    assert record["deletion"]["by"] is None
    assert record["deletion"]["reason"] == job.REMOVED
    assert record["source"]["origin"] == "ceph"


def test_an_object_that_was_uploaded_again_is_left_alone(
    world: World, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload("pneumonia, again")
    counts = run(monkeypatch, key=KEY)
    assert counts == {"objects": 1, "original_there": 1}
    assert "Delete them first" in api.notes["run-1"]
    assert len(world.store.peek(f"{BUCKET}-anonymized")) == 2


def test_a_dry_run_says_what_it_would_do(
    world: World, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, key=KEY, dry_run=True)["outputs"] == 4
    assert api.notes["run-1"] == "Objects to forget: 1 of 1."
    assert len(world.store.peek(f"{BUCKET}-anonymized")) == 2


def test_the_claim_of_a_run_that_airflow_does_not_know_ends(
    world: World, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.upload("pneumonia")
    case = world.deliver()
    steps.fetch(world.work(case, "fetch"))
    world.store.delete(BUCKET, KEY)
    api.runs[case.run_id], api.states[case.run_id] = {}, "running"
    api.dags[case.run_id] = "xray_case"
    assert run(monkeypatch, key=KEY)["under_way"] == 1
    assert "run xray_forget again" in api.notes["run-1"]
    api.states[case.run_id] = "failed"
    assert "under_way" not in run(monkeypatch, key=KEY)
    assert world.store.peek(f"{BUCKET}-manifests") == {}


@pytest.mark.parametrize("params", [{}, {"key": None}, {"key": KEY, "patient": "a" * 32}])
def test_exactly_one_way_to_select_is_needed(world: World, params: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="One of case_id, patient, sealed, key must be set"):
        job.select(world.store, KEYRING, Settings(), {"bucket": BUCKET, **params})


def test_what_is_unknown_is_no_failure(
    world: World, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(monkeypatch, case_id="0" * 32) == {"objects": 0}
    assert run(monkeypatch, key="another.png")["unknown"] == 1
    assert api.notes["run-1"] == "Objects forgotten: 0 of 1. Objects without a trace: 1."


def test_a_patient_is_found_under_every_secret(world: World) -> None:
    rotated = Keyring(("a new secret of the tests, long", SECRET))
    params = {"bucket": BUCKET, "patient": patient_of(KEYRING)}
    (source,) = job.select(world.store, rotated, Settings(), params)
    assert source.key == KEY
    params["patient"] = patient_of(rotated)
    assert [one.key for one in job.select(world.store, rotated, Settings(), params)] == [KEY]
    params["patient"] = patient_of(Keyring(("another secret, long enough",)))
    assert job.select(world.store, rotated, Settings(), params) == []


def test_an_object_without_a_manifest_is_found_by_its_annotated_image(world: World) -> None:
    world.store.delete(f"{BUCKET}-manifests", f"objects/{KEY}")
    params = {"bucket": BUCKET, "patient": patient_of(KEYRING)}
    assert [one.key for one in job.select(world.store, KEYRING, Settings(), params)] == [KEY]


def test_a_case_without_a_record_is_found_in_the_manifests(world: World) -> None:
    world.upload("pneumonia")
    case = world.deliver()
    steps.fetch(world.work(case, "fetch"))
    buckets = world.work(case, "fetch").buckets
    assert lookup.key_of_case(world.store, buckets, KEYRING, str(case.case_id)) == KEY


def test_a_forged_record_leads_to_no_object(world: World) -> None:
    case_id = str(world.runs[0].case_id)
    buckets = world.work(world.runs[0], "fetch").buckets
    (name,) = world.store.peek(buckets.audit)
    record = stored_json(world.store, buckets.audit)[name]
    record["source"]["key"] = "of another patient.png"

    def put() -> None:
        data = json.dumps(record).encode()
        world.store.put(buckets.audit, name, data, content_type="application/json")

    put()
    assert lookup.key_of_case(world.store, buckets, KEYRING, case_id) == KEY, "from the manifest"
    record["source"]["key"] = KEY
    del record["seal"]
    put()
    world.store.delete(buckets.manifests, f"objects/{KEY}")
    assert lookup.key_of_case(world.store, buckets, KEYRING, case_id) == KEY, "proven by its id"


def test_an_object_that_may_not_be_deleted_keeps_no_other_from_it(
    world: World, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job fails, and is tried again: somebody may give the missing right."""
    sources = [Source(bucket=BUCKET, key=key) for key in ("locked", KEY)]
    monkeypatch.setattr(job, "select", lambda *_: sources)
    forget_object = job.forget_object

    def may_not(work: Work, deletion: forget.Deletion) -> Counter[str]:
        if work.source.key == "locked":
            raise ForbiddenError("The store forbids deleting.")
        return forget_object(work, deletion)

    monkeypatch.setattr(job, "forget_object", may_not)
    told: list[str] = []
    monkeypatch.setattr(blocked.notices, "tell", lambda *_, sentence, **__: told.append(sentence))
    with pytest.raises(ForbiddenError):
        run(monkeypatch, key=KEY)
    assert world.store.peek(f"{BUCKET}-processed") == {}
    assert api.notes["run-1"].startswith("Objects forgotten: 1 of 2.")
    assert told == ["The store forbids deleting."]


def test_an_object_that_cannot_be_forgotten_keeps_no_other_from_it(
    world: World, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = KEY.replace("2016-08-26", "2017-09-27")
    data = json.dumps({"schema": 99}).encode()
    path = f"objects/{other}"
    world.store.put(f"{BUCKET}-manifests", path, data, content_type="application/json")
    with pytest.raises(ObjectError, match="schema 99"):
        run(monkeypatch, patient=patient_of(KEYRING))
    assert world.store.peek(f"{BUCKET}-processed") == {}
    assert (
        "Objects forgotten: 1 of 2. Objects that could not be forgotten: 1." in api.notes["run-1"]
    )


def test_the_index_learns_which_objects_were_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    PUSHED.clear()
    source = Source(bucket=BUCKET, key=KEY)
    run(monkeypatch, key=KEY, dry_run=True)
    assert PUSHED == {config.FORGOTTEN: []}
    run(monkeypatch, key=KEY)
    expected = source.index_hashes(KEYRING, Settings().patient_pattern)["object"]
    assert {config.FORGOTTEN: [expected]} == PUSHED
