"""The embedded stack, end to end: uploads, reruns, backfills, reviews and bad files"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from sqlalchemy import create_engine, delete, select

from include.demo import run
from include.demo.api import Api
from include.demo.letter import letter
from include.demo.names import database_rows, identifying_words, name_pattern
from include.demo.stack import Stack, shared_settings
from include.demo.verification import (
    BUCKET,
    Case,
    expected_results,
    unexpected_objects,
    verify_case,
)
from include.servers.embedded.object_store import configure_notifications
from include.servers.processes import wait_until
from include.servers.real import orthanc
from include.servers.real.orthanc import Orthanc
from include.stack import check
from tests.support import bad_files
from tests.support.dicom_files import SECRET as NAMED_IN_HEADER
from tests.support.dicom_files import dicom
from tests.support.people import WebHook
from tests.support.programs import dicom_errors, need_orthanc
from tests.support.stacks import running
from xray import audit
from xray.airflow.config import TOPIC
from xray.airflow.index.table import CASES
from xray.airflow.notices import Event
from xray.case import Buckets, Source, quarantine
from xray.image import decode
from xray.redaction import certificate_problem
from xray.settings import Settings
from xray.storage import ObjectStore
from xray.suffixes import CERTIFICATE_KEY

BUCKETS = Buckets(BUCKET)
PUBLISHED = (BUCKETS.processed, BUCKETS.anonymized, BUCKETS.quarantine, BUCKETS.manifests)
LONG = 120.0
OPENLINEAGE = "airflow.providers.openlineage.plugins.listener"
NOTIFIER = "airflow.providers.http.notifications.http.HttpNotifier"
LINEAGE = "lineage.jsonl"
"""The file of the stack that gets the events of OpenLineage."""


@pytest.fixture(scope="module")
def hook() -> Iterator[WebHook]:
    """What people are told, of all events."""
    hook = WebHook()
    yield hook
    hook.close()


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc | None]:
    """Start a PACS; None if this machine has none."""
    if not orthanc.is_installed():
        yield None
        return
    with Orthanc(tmp_path_factory.mktemp("orthanc")) as server:
        yield server


@pytest.fixture(scope="module")
def stack(
    real: bool, hook: WebHook, pacs: Orthanc | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Start the embedded stack; with --real, on Apache Kafka and a gateway with notifications."""
    home = tmp_path_factory.mktemp("stack")
    # OpenLineage is on, for the test that looks for names in its events. Without the preload, each
    # task would import it.
    lineage = {"type": "file", "log_file_path": str(home / LINEAGE), "append": True}
    preload = "AIRFLOW__CORE__MP_FORKSERVER_PRELOAD"
    settings = {
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(lineage),
        preload: f"{shared_settings('airflow.env')[preload]},{OPENLINEAGE}",
        "AIRFLOW_CONN_HOOK": json.dumps({"conn_type": "http", "host": hook.url}),
        "AIRFLOW_VAR_XRAY_NOTICES": json.dumps(
            [{"notifier": NOTIFIER, "on": list(Event), "arguments": {"http_conn_id": "hook"}}]
        ),
    }
    if pacs:
        settings["AIRFLOW_CONN_XRAY_PACS"] = pacs.connection
    with running(home, real=real, airflow_settings=settings) as stack:
        yield stack


@pytest.fixture(scope="module")
def cases(stack: Stack, api: Api) -> list[Case]:
    """Upload the 16 demo images, and return their cases once they have ended."""
    return run.watch(stack, api, run.upload(stack, expected_results(run.IMAGES, Settings())))


def runs(api: Api, **query: Any) -> list[Any]:
    return api.all("/dags/xray_case/dagRuns", "dag_runs", **query)


def object_key(stack: Stack, run: dict[str, Any]) -> str:
    """Return the object key of a run."""
    return Source.from_conf(run["conf"], stack.keyring).key


def ended(api: Api, stack: Stack, count: int) -> list[Any]:
    """Wait until there are ``count`` runs and all have ended, and return them."""

    def all_ended() -> bool:
        found = runs(api)
        return len(found) >= count and all(r["state"] in ("success", "failed") for r in found)

    wait_until(all_ended, f"{count} ended runs", seconds=LONG, children=stack.children)
    return runs(api)


def contents(stack: Stack) -> dict[str, Any]:
    """Return the etag, type and metadata of every published object."""
    found = {}
    for bucket in (BUCKETS.processed, BUCKETS.anonymized):
        for entry in ObjectStore(stack.s3).list(bucket):
            head = stack.s3.head_object(Bucket=bucket, Key=entry.key)
            found[bucket, entry.key] = (entry.etag, head["ContentType"], head["Metadata"])
    return found


def test_every_case_comes_out_right(stack: Stack, cases: list[Case], api: Api) -> None:
    assert len(cases) == 16
    store = ObjectStore(stack.s3)
    assert [problem for case in cases for problem in verify_case(case, store, Settings())] == []
    assert unexpected_objects(cases, store) == []
    assert len(runs(api)) == 16
    assert all(case.report()["attempts"] == 1 for case in cases)


def test_every_case_is_in_the_index_with_its_outcome(
    stack: Stack, cases: list[Case], api: Api
) -> None:
    notes = {run["dag_run_id"]: run["note"] for run in runs(api)}
    with create_engine(stack.database.url).connect() as connection:
        rows = {row.case_id: row for row in connection.execute(select(CASES))}
    for case in cases:
        report = case.report()
        row = rows[report["case_id"]]
        assert (row.state, row.attempt, row.bucket) == ("finished", 1, BUCKET)
        assert (row.label, row.decision) == (report["label"], report["decision"])
        assert row.risk == Settings().rounded(report["risk"])
        assert row.received <= row.started <= row.ended
        assert row.object
        assert row.patient
        assert notes[row.run_id] == f"{row.label}, {row.risk:.0%}, {row.decision}".replace(
            "%", " %"
        )


def test_every_anonymised_image_has_its_certificate(stack: Stack, cases: list[Case]) -> None:
    store, bucket = ObjectStore(stack.s3), BUCKETS.anonymized
    keys = [entry.key for entry in store.list(bucket)]
    images = [key for key in keys if not key.endswith(CERTIFICATE_KEY)]
    assert images
    assert sorted(keys) == sorted([*images, *(key + CERTIFICATE_KEY for key in images)])
    for key in images:
        image, certificate = (store.get(bucket, one).data for one in (key, key + CERTIFICATE_KEY))
        assert certificate_problem(image, certificate, stack.keyring.secrets) is None
        risk = stack.s3.head_object(Bucket=bucket, Key=key)["Metadata"]["risk"]
        assert len(risk) == len("0.93")
        assert json.loads(certificate)["caption"] == f"Pneumonia, risk={float(risk):.0%}"


def test_the_results_of_tasks_have_no_exact_risk(stack: Stack, cases: list[Case], api: Api) -> None:
    for case in cases:
        path = f"/dags/xray_case/dagRuns/xray__{case.case_id}/taskInstances"
        for task in ("classify", "store"):
            value = api.get(f"{path}/{task}/xcomEntries/return_value")["value"]
            assert value["risk"] == Settings().rounded(case.risk or 0.0)
            assert "evidence" not in value
        for output in case.outputs(BUCKETS.anonymized):
            value = api.get(f"{path}/anonymize/xcomEntries/return_value")["value"]
            assert output["sha256"] not in json.dumps(value)


def test_the_check_of_the_local_stack(
    stack: Stack,
    cases: list[Case],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    endpoint, access, secret = stack.s3_login
    for name, value in {
        "S3_ENDPOINT": endpoint,
        "S3_ACCESS_KEY": access,
        "S3_SECRET_KEY": secret,
        "AIRFLOW_URL": stack.url,
        "AIRFLOW_ADMIN_PASSWORD": stack.password,
        "XRAY_PSEUDONYM_SECRET": stack.secret,
    }.items():
        monkeypatch.setenv(name, value)
    assert check.main() == 0
    assert "16 of 16 cases came out right: 16 runs, 16 audit records" in capsys.readouterr().out
    # The check finds a changed output.
    (output,) = [o for o in cases[0].records[-1]["outputs"] if o["bucket"] == BUCKETS.processed]
    kept = stack.s3.get_object(Bucket=output["bucket"], Key=output["key"])
    body = kept["Body"].read()
    stack.s3.put_object(Bucket=output["bucket"], Key=output["key"], Body=b"something else")
    try:
        assert check.main() == 1
    finally:
        stack.s3.put_object(
            Bucket=output["bucket"],
            Key=output["key"],
            Body=body,
            ContentType=kept["ContentType"],
            Metadata=kept["Metadata"],
        )
    told = capsys.readouterr().out
    assert "the annotated image is not the recorded one" in told
    assert "15 of 16 cases came out right" in told


def test_a_rerun_gives_the_same_outputs_and_one_more_record(
    stack: Stack, cases: list[Case], api: Api
) -> None:
    case = next(case for case in cases if case.label == "Pneumonia")
    before, run_id = contents(stack), f"xray__{case.case_id}"

    def wait_for_records(count: int) -> list[dict[str, Any]]:
        """Return the records of the case once the rerun has ended; there must be ``count``."""
        wait_until(
            lambda: api.get(f"/dags/xray_case/dagRuns/{run_id}")["state"] == "success",
            "the end of the rerun",
            seconds=LONG,
            children=stack.children,
        )
        assert contents(stack) == before
        assert list(ObjectStore(stack.s3).list(BUCKETS.staging)) == []
        found = audit.records(ObjectStore(stack.s3), BUCKETS.audit, case.case_id)
        assert len(found) == count
        return found

    api.post(f"/dags/xray_case/dagRuns/{run_id}/clear", {"dry_run": False})
    wait_for_records(2)
    for count, tasks in ((3, ["store"]), (4, ["annotate", "anonymize", "store"])):
        body = {"dag_run_id": run_id, "task_ids": tasks, "dry_run": False, "only_failed": False}
        api.post("/dags/xray_case/clearTaskInstances", body)
        records = wait_for_records(count)
    assert [record["outcome"] for record in records] == ["succeeded"] * 4
    assert [record["attempt"] for record in records] == [1, 2, 3, 4]
    assert [record["run"]["triggered_by"] for record in records] == ["xray-service"] * 4
    assert [record["run"]["reran_by"] for record in records] == [None, *[stack.user] * 3]
    assert len(runs(api)) == 16


def test_a_repeated_notification_starts_nothing(stack: Stack, cases: list[Case], api: Api) -> None:
    produced = everything_on(stack, "storage", 17)
    producer = Producer({"bootstrap.servers": stack.brokers})
    for message in produced:
        producer.produce("storage", message)
    producer.produce("storage", b"not a notification")
    assert producer.flush(10) == 0
    (letter,) = everything_on(stack, "storage.dlq", 1)
    assert letter == b"not a notification"
    assert len(runs(api)) == 16


def everything_on(stack: Stack, topic: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": stack.brokers,
            "group.id": f"test-{topic}",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    found = []
    try:
        while len(found) < count:
            message = consumer.poll(30)
            assert message is not None, f"{len(found)} of {count} messages"
            if message.error() is None:
                found.append(message.value())
            else:  # A topic is created by its first message.
                assert message.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    finally:
        consumer.close()
    return found


def test_a_bad_file_fails_once_with_its_reason(stack: Stack, cases: list[Case], api: Api) -> None:
    stack.s3.put_object(Bucket=BUCKET, Key="letters/bad.jpeg", Body=b"a letter")
    found = {object_key(stack, run): run for run in ended(api, stack, 17)}
    assert found["letters/bad.jpeg"]["state"] == "failed"
    run_id = found["letters/bad.jpeg"]["dag_run_id"]
    task = api.get(f"/dags/xray_case/dagRuns/{run_id}/taskInstances/fetch")
    assert task["try_number"] == 1, "there is no retry"
    (record,) = audit.records(ObjectStore(stack.s3), BUCKETS.audit, run_id.removeprefix("xray__"))
    assert "neither JPEG, PNG, TIFF nor DICOM" in record["error"]


def test_the_note_of_a_failed_run_has_the_reason(stack: Stack, cases: list[Case], api: Api) -> None:
    (failed,) = [run for run in runs(api) if run["state"] == "failed"]
    assert failed["note"].startswith("fetch failed: The object is not an image")
    for one in runs(api):
        assert one["state"] == "failed" or "failed" not in (one["note"] or "")


def trigger(stack: Stack, api: Api, dag_id: str, conf: dict[str, Any], *states: str) -> str:
    """Start a run, wait until it is in one of the states, and return its path."""
    started = api.post(f"/dags/{dag_id}/dagRuns", {"logical_date": None, "conf": conf})
    path = f"/dags/{dag_id}/dagRuns/{started['dag_run_id']}"
    wait_until(
        lambda: api.get(path)["state"] in states,
        f"a run of {dag_id} that is {' or '.join(states)}",
        seconds=LONG,
        children=stack.children,
    )
    return path


def run_to_result(stack: Stack, api: Api, dag_id: str, task: str, **conf: Any) -> Any:
    """Start a run, wait for its end, and return the result of one of its tasks."""
    path = trigger(stack, api, dag_id, {"bucket": BUCKET, **conf}, "success", "failed")
    assert api.get(path)["state"] == "success"
    return api.get(f"{path}/taskInstances/{task}/xcomEntries/return_value")["value"]


def test_a_backfill_starts_each_object_once(stack: Stack, cases: list[Case], api: Api) -> None:
    already = len(runs(api))

    def backfill(**conf: Any) -> Any:
        found = run_to_result(stack, api, "xray_backfill", "start_cases", prefix="NORMAL/", **conf)
        ended(api, stack, already)
        return found

    assert backfill() == {"objects": 8, "with_result": 8}
    assert backfill(only="all", dry_run=True) == {"objects": 8, "to_start": 8}
    assert len(runs(api)) == already
    before = contents(stack)
    assert backfill(only="all") == {"objects": 8, "started": 8}
    assert backfill(only="all") == {"objects": 8, "duplicate": 8}
    assert len(ended(api, stack, already + 8)) == already + 8
    after = contents(stack)
    assert [(key, etag) for key, (etag, *_) in after.items()] == [
        (key, etag) for key, (etag, *_) in before.items()
    ], "another case of the same content writes the same images under the same keys"


def upload_silently(stack: Stack, key: str, content: bytes) -> None:
    """Upload an object without a notification."""
    if stack.store is None:  # A real gateway always sends a notification, which does no harm.
        stack.s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={})
    stack.s3.put_object(Bucket=BUCKET, Key=key, Body=content)


def upload_alone(stack: Stack, api: Api, key: str, content: bytes) -> None:
    """Upload an object whose only case under way is the one that is started then.

    A real gateway sends a notification. The case that it starts ends first: otherwise it may claim
    the object after the other case, which would then be superseded.
    """
    upload_silently(stack, key, content)

    def ended_one() -> bool:
        states = [one["state"] for one in runs(api) if object_key(stack, one) == key]
        return states in (["success"], ["failed"])

    if stack.store is not None:
        what = "the end of the case of the notification"
        wait_until(ended_one, what, seconds=LONG, children=stack.children)


def test_an_upload_without_notification_is_found(
    stack: Stack, real: bool, cases: list[Case], api: Api
) -> None:
    if real:
        pytest.skip(
            "This gateway sends a notification of every upload; without --real, one is left out."
        )

    def reconcile(**conf: Any) -> Any:
        result = run_to_result(stack, api, "xray_reconcile", "start_missed", minutes=0, **conf)
        conditions = result.pop("conditions")
        assert conditions is None if conf else all(all(one.values()) for one in conditions.values())
        return result

    seen = {"objects": 17, "with_result": 16, "seen": 1}
    assert reconcile() == seen, "the case of the bad file has ended and has a record"
    upload_silently(stack, "lost.jpeg", cases[0].expected.path.read_bytes())
    assert reconcile(dry_run=True) == {**seen, "objects": 18, "to_start": 1}
    assert reconcile() == {**seen, "objects": 18, "started": 1}
    found = ended(api, stack, len(runs(api)))
    (lost,) = [run for run in found if object_key(stack, run) == "lost.jpeg"]
    assert (lost["state"], lost["conf"]["origin"]) == ("success", "reconcile")
    assert reconcile() == {**seen, "objects": 18, "with_result": 17}


def start_review(stack: Stack, api: Api, **settings: Any) -> str:
    """Start a case that waits for a review, and return the path of its form's run."""
    unsure = next(path for path in run.IMAGES.rglob("*.jpeg") if "Ada" in path.name)
    key = f"review/{len(runs(api))}.jpeg"
    upload_alone(stack, api, key, unsure.read_bytes())
    wide = {"normal_below": 0.0, "pneumonia_above": 1.0, "review_unsure": True}
    conf = {"bucket": BUCKET, "key": key, **wide, **settings}
    path = trigger(stack, api, "xray_case", conf, "success")
    assert "Waits for a review" in api.get(path)["note"]
    case_id = api.get(f"{path}/taskInstances/fetch/xcomEntries/return_value")["value"]["case_id"]
    mine = {"run_id_prefix_pattern": f"xray__{case_id}"}
    (form,) = api.all("/dags/xray_review/dagRuns", "dag_runs", **mine)
    return f"/dags/xray_review/dagRuns/{form['dag_run_id']}"


def wait_for_question(
    stack: Stack, api: Api, path: str, task_id: str, *, processes: int = 1
) -> None:
    """Wait until a task waits for a person, and the scheduler has handled its process's end.

    A task that asks again has had several ``processes``.

    If the answer arrives before the scheduler has seen that end, Airflow 3.3 takes it for a crash
    of the process (`LocalExecutor reported that the task instance … finished`) and retries the
    task, which asks again. No person is that fast.
    """
    task = api.get(f"{path}/taskInstances/{task_id}")
    ended = "TaskInstance Finished: dag_id={dag_id}, task_id={task_id}, run_id={dag_run_id},"
    log = stack.home / "logs" / "scheduler.log"
    wait_until(
        lambda: (
            api.get(f"{path}/taskInstances/{task_id}")["state"] == "awaiting_input"
            and log.read_text().count(ended.format_map(task)) >= processes
        ),
        f"{task_id} to wait for a person",
        seconds=LONG,
        children=stack.children,
    )


def wait_for_success(stack: Stack, api: Api, path: str, *before: str) -> list[dict[str, Any]]:
    """Wait until a run has succeeded, and return the audit records of it and of those before it."""
    wait_until(
        lambda: api.get(path)["state"] in ("success", "failed"),
        "the end of the reviewed case",
        seconds=LONG,
        children=stack.children,
    )
    assert api.get(path)["state"] == "success"
    run_ids = [api.get(one)["dag_run_id"] for one in (path, *before)]
    store = ObjectStore(stack.s3)
    everything = [
        json.loads(store.get(BUCKETS.audit, entry.key).data) for entry in store.list(BUCKETS.audit)
    ]
    return [record for record in everything if record["run"]["run_id"] in run_ids]


def test_a_person_decides_an_unsure_case(stack: Stack, cases: list[Case], api: Api) -> None:
    path = start_review(stack, api)
    case_id = path.split("__")[1]
    wait_for_question(stack, api, path, "review")
    form = api.get(f"{path}/taskInstances/review/-1/hitlDetails")
    assert form["options"] == ["Normal", "Pneumonia", "Keep Unsure"]
    shown = re.search(r"!\[[^]]*\]\((\S+)\)", form["body"])
    assert shown
    address = f"{stack.url}{shown[1]}"
    assert httpx.get(address).status_code == 401, "the image shows a patient"
    headers = {"Authorization": f"Bearer {api.token}"}
    picture = httpx.get(address, headers=headers)
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/jpeg")
    assert decode(picture.content).pixels.width > 500
    for view in ("full", "stretched"):
        larger = httpx.get(address.replace("preview", view), headers=headers)
        assert decode(larger.content).pixels.width >= decode(picture.content).pixels.width
    assert f"(/xray/cases/{case_id})" in form["body"]
    for wrong in ("0" * 32, "..%2F..", "x"):
        elsewhere = httpx.get(address.replace(case_id, wrong), headers=headers)
        assert elsewhere.status_code in (404, 422)

    api.patch(
        f"{path}/taskInstances/review/-1/hitlDetails",
        {"chosen_options": ["Pneumonia"], "params_input": {}},
    )
    review, end = wait_for_success(stack, api, path)
    assert (review["outcome"], end["outcome"]) == ("reviewed", "succeeded")
    assert review["scored"]["review"]["by"] == stack.user
    assert end["scored"]["label"] == "Pneumonia"
    assert end["decision"] == "published and anonymised", (
        "the policy applies to the label of the reviewer"
    )
    head = stack.s3.head_object(Bucket=BUCKETS.processed, Key=end["outputs"][-1]["key"])
    assert head["Metadata"]["label"] == "Pneumonia"
    assert httpx.get(address, headers=headers).status_code == 404, "the review is over"


def test_a_person_masks_and_releases_a_quarantined_image(stack: Stack, api: Api) -> None:
    upload_alone(stack, api, "letter.png", letter())
    conf = {"bucket": BUCKET, "key": "letter.png", "anonymize": "always"}
    path = trigger(stack, api, "xray_case", conf, "success")
    assert "Quarantined" in api.get(path)["note"]
    (asked,) = api.all("/dags/xray_release/dagRuns", "dag_runs")
    asked_path = f"/dags/xray_release/dagRuns/{asked['dag_run_id']}"
    task = f"{asked_path}/taskInstances/release"
    wait_for_question(stack, api, asked_path, "release")
    form = api.get(f"{task}/-1/hitlDetails")
    assert form["options"] == list(quarantine.RELEASE_CHOICES)
    shown = re.search(r"!\[[^]]*\]\((\S+)\)", form["body"])
    assert shown
    address = f"{stack.url}{shown[1]}"
    assert httpx.get(address).status_code == 401, "the image may show a patient"
    headers = {"Authorization": f"Bearer {api.token}"}
    assert decode(httpx.get(address, headers=headers).content).pixels.width > 500
    mistake = {"chosen_options": [quarantine.MASK], "params_input": {"boxes": "0, 0, 500"}}
    api.patch(f"{task}/-1/hitlDetails", mistake)
    wait_for_question(stack, api, asked_path, "release", processes=2)
    assert "Box 1 is not four whole numbers" in api.get(asked_path)["note"]
    assert api.get(task)["try_number"] == 1, "the form opens again at once, without a retry"
    assert api.get(f"{task}/-1/hitlDetails")["response_received"] is False
    answer = {"chosen_options": [quarantine.MASK], "params_input": {"boxes": "0, 0, 500, 390"}}
    api.patch(f"{task}/-1/hitlDetails", answer)
    quarantined, released = wait_for_success(stack, api, asked_path, path)
    assert quarantined["decision"] == "quarantined"
    assert released["release"]["by"] == stack.user
    assert released["release"]["boxes"] == [[0, 0, 500, 390]]
    assert {output["bucket"] for output in released["outputs"]} == {BUCKETS.anonymized}
    image, certificate = (
        ObjectStore(stack.s3).get(output["bucket"], output["key"]).data
        for output in released["outputs"]
    )
    assert certificate_problem(image, certificate, stack.keyring.secrets) is None
    assert json.loads(certificate)["release"] == {"masked": 1}
    assert list(ObjectStore(stack.s3).list(BUCKETS.quarantine)) == []
    assert httpx.get(address, headers=headers).status_code == 404, "the image was released"


def test_a_case_without_an_answer_continues(stack: Stack, cases: list[Case], api: Api) -> None:
    path = start_review(stack, api, review_hours=0.0005)
    review, end = wait_for_success(stack, api, path)
    assert review["scored"]["review"]["by"] is None
    assert (end["scored"]["label"], end["decision"]) == ("Unsure", "published")


def test_thirty_bad_files_fail_once_each_among_ten_good_ones(
    stack: Stack, cases: list[Case], api: Api, tmp_path: Path
) -> None:
    said = bad_files.write(tmp_path / "mixed", sorted(run.IMAGES.rglob("*.jpeg"))[:10])
    if stack.store is None:
        configure_notifications(stack.s3, BUCKET, TOPIC)
    already = {entry.key for entry in ObjectStore(stack.s3).list(BUCKETS.audit)}
    mixed = expected_results(tmp_path / "mixed", Settings())
    found = run.watch(stack, api, run.upload(stack, mixed))
    store = ObjectStore(stack.s3)
    assert [problem for case in found for problem in verify_case(case, store, Settings())] == []
    assert [case.state for case in found].count("success") == 10
    failed = {case.key: case for case in found if case.state == "failed"}
    assert len(failed) == 30
    assert set(failed) == set(said)
    for name, case in failed.items():
        assert said[name] in str(case.error)
        assert case.report()["attempts"] == 1
        fetch = api.get(f"/dags/xray_case/dagRuns/xray__{case.case_id}/taskInstances/fetch")
        assert (fetch["state"], fetch["try_number"]) == ("failed", 1)
    assert list(store.list(BUCKETS.staging)) == []
    verdict = run.verify_audit(store, tmp_path / "audit", stack.keyring.secrets)
    assert verdict.problems == ()
    assert verdict.records == len(already) + 40


def test_people_were_told(stack: Stack, cases: list[Case], api: Api, hook: WebHook) -> None:
    """After the other tests: published, failed, reviewed and quarantined cases."""
    told = {
        event: {notice["case_id"] for notice in hook.notices if notice["event"] == event}
        for event in Event
    }
    high = {case.case_id for case in cases if case.label == "Pneumonia"}
    assert {case.case_id for case in cases} & told[Event.HIGH_RISK] == high
    failed = {run["dag_run_id"] for run in runs(api) if run["state"] == "failed"}
    assert len(failed) >= 30
    assert failed <= {notice["run_id"] for notice in hook.notices if notice["event"] == "failed"}
    for event, dag_id in ((Event.REVIEW, "xray_review"), (Event.QUARANTINED, "xray_release")):
        forms = api.all(f"/dags/{dag_id}/dagRuns", "dag_runs")
        asked = {form["dag_run_id"].split("__")[1] for form in forms}
        assert asked <= told[event], event
    assert told[Event.OVERDUE] == told[Event.BLOCKED] == set()
    assert all(notice["link"].startswith(f"{stack.url}/dags/") for notice in hook.notices)
    page = f"{stack.url}/xray/cases/"
    assert all(notice["page"] == page + notice["case_id"] for notice in hook.notices)
    tasks = api.get("/dags/xray_watch/dagRuns/~/taskInstances")["task_instances"]
    assert [task["state"] for task in tasks] == ["deferred"]


def test_no_name_is_in_airflow_or_the_anonymised_bucket(
    stack: Stack, real: bool, cases: list[Case], api: Api, hook: WebHook
) -> None:
    """After the other tests: notified, backfilled, failed, reviewed and quarantined cases."""
    found, store = runs(api), ObjectStore(stack.s3)
    notified = "versitygw" if real else "aws"
    assert {notified, "backfill"} <= {run["conf"].get("origin") for run in found}
    assert {"success", "failed"} <= {run["state"] for run in found}
    assert api.all("/dags/xray_release/dagRuns", "dag_runs"), "a case was quarantined"
    typed = {run["conf"]["key"] for run in found if run["conf"].get("key")}
    keys = {entry.key for entry in store.list(BUCKET)} - typed
    assert {case.key for case in cases} < keys
    pattern = name_pattern(keys)
    wanted = [key for key in keys if identifying_words(key)]
    assert len(wanted) > 50, "the others are short, such as half.png"
    assert all(pattern.search(f'"{key}"') for key in wanted), "the pattern finds every key"
    for part in ("Ada Kestrel", "Kestrel", "_5120_", "1948-02-26", "2017-08-02"):
        assert pattern.search(f'{{"a": "{part}"}}'), "the pattern finds every part of a name"

    rows = list(database_rows(stack.database.url, stack.env["AIRFLOW__CORE__FERNET_KEY"]))
    paths = [path for path in stack.home.rglob("*") if path.is_file()]
    files = [(path.name, path.read_text(errors="replace")) for path in paths]
    assert sum("dag_id=xray_case" in str(path) for path in paths) > 150, "each task has a log"
    notices = [("a notice", json.dumps(notice)) for notice in hook.notices]
    assert [place for place, text in (*rows, *files, *notices) if pattern.search(text)] == []

    # The same search finds what is there: a key that was typed, a run id, a sealed key.
    by_hand = name_pattern(["letter.png"])
    assert {"dag_run", "log"} <= {table for table, text in rows if by_hand.search(text)}
    run_id = f"xray__{cases[0].case_id}"
    assert {"dag_run", "task_instance"} <= {table for table, text in rows if run_id in text}
    lineage = dict(files)[LINEAGE]
    assert all(f"xray__{case.case_id}" in lineage for case in cases)
    sealed = [run["conf"]["sealed"] for run in found if run["dag_run_id"] == run_id]
    assert all(one in lineage for one in sealed), "the events have the conf"
    assert all(f"xray_case.{task}" in lineage for task in ("fetch", "classify", "store"))
    for entry in store.list(BUCKETS.anonymized):
        head = stack.s3.head_object(Bucket=BUCKETS.anonymized, Key=entry.key)
        assert not pattern.search(entry.key + json.dumps(head["Metadata"]))
        if entry.key.endswith(CERTIFICATE_KEY):
            certificate = store.get(BUCKETS.anonymized, entry.key).data
            assert not pattern.search(certificate.decode())


def test_the_index_is_made_again_from_the_audit_trail(
    stack: Stack, cases: list[Case], api: Api
) -> None:
    """After the other tests: failed, rerun, backfilled, reviewed and released cases.

    The check of the deployment comes later: it deletes the case of its image without a run.
    """

    def rows() -> dict[str, dict[str, Any]]:
        with engine.connect() as connection:
            found = connection.execute(select(CASES)).mappings()
            return {row["case_id"]: dict(row) for row in found}

    engine = create_engine(stack.database.url)
    written = rows()
    with engine.begin() as connection:
        connection.execute(delete(CASES))
    done = subprocess.run(
        [sys.executable, "-m", "xray", "index"],
        env=stack.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{len(written)} cases of {BUCKET} are in the index.\n", done.stderr
    times = {"received", "started", "ended"}
    # The tasks of a failed case may have left no result, and its audit record says no label.
    unknown = {"attempt", "object", "patient", "label", "risk", "refused", "model"}
    for case_id, row in rows().items():
        expected = written.pop(case_id)
        # The trail begins when the case has ended or was answered, which takes time in a burst.
        assert expected["received"] <= row["received"] <= expected["ended"]
        left_out = times | unknown if row["state"] == "failed" else times
        # A case whose key was typed, and that has waited for a review: the run of its form has
        # written all of its records.
        if expected["run_id"].startswith("manual__") and row["run_id"] == f"xray__{case_id}":
            left_out = left_out | {"run_id"}
        assert {n: row[n] for n in row if n not in left_out} == {
            n: expected[n] for n in expected if n not in left_out
        }
    assert written == {}


def test_a_check_of_the_deployment(stack: Stack, real: bool, api: Api) -> None:
    """In a plain shell: all is well, and a synthetic image comes through and is removed again.

    A connection and a Variable are in the metadata database, where hooks outside of a task do not
    look by themselves.
    """
    env = dict(stack.env)
    connection = json.loads(env.pop("AIRFLOW_CONN_XRAY_S3"))
    extra = json.dumps(connection.pop("extra"))
    api.post("/connections", {"connection_id": "xray_s3", "extra": extra, **connection})
    secret = env.pop("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET")
    api.post("/variables", {"key": "xray_pseudonym_secret", "value": secret})
    left = {bucket: set(ObjectStore(stack.s3).list(bucket)) for bucket in (BUCKET, *PUBLISHED)}
    done = subprocess.run(
        [sys.executable, "-m", "xray", "check", "--send", "--json"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    found = {row["check"]: row for row in json.loads(done.stdout)["checks"]}
    problems = [row["sentence"] for row in found.values() if row["result"] == "problem"]
    assert (done.returncode, problems) == (0, [])
    assert "published and anonymised" in found["image's result"]["sentence"]
    assert found["image removed"]["result"] == "well"
    assert left == {bucket: set(ObjectStore(stack.s3).list(bucket)) for bucket in left}
    not_tried = {name for name, row in found.items() if row["result"] == "unknown"}
    # By itself, the test has no earlier run that the secret opens.
    not_tried -= {"secret kept"}
    # versitygw has no API for announcements, and the embedded broker no controller.
    assert not_tried == ({"announcements"} if real else {"topics"})
    if real:
        assert found["consumer group"]["result"] == "well"
    login = json.loads(env["AIRFLOW_CONN_XRAY_API"])["password"]
    for hidden in (stack.secret, login, "demo_", "PNEUMONIA/"):
        assert hidden not in done.stdout


def test_results_of_dicom_go_to_the_pacs(
    stack: Stack, real: bool, api: Api, pacs: Orthanc | None
) -> None:
    need_orthanc(real)
    assert pacs
    sick = next(path for path in run.IMAGES.rglob("*.jpeg") if "Bruno" in path.name)
    pixels = np.asarray(decode(sick.read_bytes()).pixels.convert("L"))
    upload_alone(stack, api, "by hand.dcm", dicom(pixels))
    settings = {"outputs": "annotated_to_pacs", "structured_report": True}
    conf = {"bucket": BUCKET, "key": "by hand.dcm", **settings}
    path = trigger(stack, api, "xray_case", conf, "success", "failed")
    assert api.get(path)["state"] == "success", api.get(path)["note"]
    store = ObjectStore(stack.s3)
    keys = [f"by hand-{name}.dcm" for name in ("processed", "report")]
    published = [store.get(BUCKETS.processed, key).data for key in keys]
    assert sorted(pacs.files()) == sorted(published)
    assert [dicom_errors(data, real) for data in published] == [[], []]
    logs = [path for path in stack.home.rglob("*.log") if "xray_case" in str(path)]
    named = [path.name for path in logs if NAMED_IN_HEADER in path.read_text(errors="replace")]
    assert (bool(logs), named) == (True, [])


def test_the_database_was_never_locked(stack: Stack, cases: list[Case]) -> None:
    for path in (stack.home / "logs").glob("*.log"):
        text = path.read_text(errors="replace")
        assert "database is locked" not in text
        assert "OperationalError" not in text, path.name
