"""The embedded stack, end to end: uploads, reruns, backfills, and what goes wrong"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer

from include.demo import run
from include.demo.judge import BUCKET, Case, expectations, judge, leftovers
from include.demo.processes import marked, wait_until
from include.demo.stack import Api, Stack
from include.real.kafka import Kafka
from include.real.versitygw import Versitygw
from xray import audit
from xray.airflow.deployment import DEAD_LETTER_TOPIC, TOPIC
from xray.case import Buckets
from xray.settings import Settings
from xray.storage import ObjectStore

BUCKETS = Buckets(BUCKET)
LONG = 120.0


@pytest.fixture(scope="module")
def stack(real: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The embedded stack; with --real, on Apache Kafka and on a gateway that pushes to it."""
    home = tmp_path_factory.mktemp("stack")
    with ExitStack() as servers:
        stack = Stack(home=home)
        if real:
            folder = tmp_path_factory.mktemp("real")
            kafka = servers.enter_context(Kafka(folder / "kafka"))
            for topic in (TOPIC, DEAD_LETTER_TOPIC):
                kafka.create_topic(topic)
            gateway = servers.enter_context(
                Versitygw(folder / "versitygw", brokers=kafka.brokers, topic=TOPIC)
            )
            store = (gateway.endpoint, gateway.access_key, gateway.secret_key)
            stack = Stack(home=home, kafka=kafka.client, store=store)
        with stack:
            yield stack
    assert marked(stack.mark) == [], "no process is left"


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    with stack.api() as api:
        yield api


@pytest.fixture(scope="module")
def cases(stack: Stack, api: Api) -> list[Case]:
    """The 16 demo images, uploaded and done."""
    return run.watch(stack, api, run.upload(stack, expectations(run.IMAGES, Settings())))


def runs(api: Api, **query: Any) -> list[Any]:
    return api.all("/dags/xray_case/dagRuns", "dag_runs", **query)


def ended(api: Api, stack: Stack, count: int) -> list[Any]:
    """All runs, once there are ``count`` and they have ended."""

    def true() -> bool:
        found = runs(api)
        return len(found) >= count and all(r["state"] in ("success", "failed") for r in found)

    wait_until(true, f"{count} ended runs", seconds=LONG, children=stack.children)
    return runs(api)


def contents(stack: Stack) -> dict[str, Any]:
    """Etag, type and metadata of every published object."""
    found = {}
    for bucket in (BUCKETS.processed, BUCKETS.anonymized):
        for entry in ObjectStore(stack.s3).list(bucket):
            head = stack.s3.head_object(Bucket=bucket, Key=entry.key)
            found[bucket, entry.key] = (entry.etag, head["ContentType"], head["Metadata"])
    return found


def test_every_case_comes_out_right(stack: Stack, cases: list[Case], api: Api) -> None:
    assert len(cases) == 16
    store = ObjectStore(stack.s3)
    assert {
        case.key: judge(case, store, Settings()) for case in cases if judge(case, store, Settings())
    } == {}
    assert leftovers(cases, store) == []
    assert len(runs(api)) == 16
    assert all(case.report()["attempts"] == 1 for case in cases)


def test_nothing_that_may_be_seen_names_a_patient(
    stack: Stack, cases: list[Case], api: Api
) -> None:
    # The names' parts: "demo", name, id, birth date and date of the image. An id of four digits
    # is in many a number; what stands beside it in the key is looked for instead.
    parts = [Path(case.key).stem.split("_") for case in cases]
    words = {word for _, name, _, *dates in parts for word in (name, *dates)}
    words |= {name.split()[1] for _, name, *_ in parts} | {
        f"_{number}_" for _, _, number, *_ in parts
    }
    wanted = re.compile("|".join(rf"(?<![^\W_]){re.escape(word)}" for word in sorted(words)))
    assert all(wanted.search(case.key) for case in cases), "the pattern finds every key"

    logs = [path for path in stack.home.rglob("*") if path.is_file() and "log" in path.name]
    assert len(logs) > 80, "there is a log for each task"
    for path in logs:
        assert not wanted.search(path.read_text(errors="replace")), path.name
    for case in cases:
        run_id = f"xray__{case.case_id}"
        path = f"/dags/xray_case/dagRuns/{run_id}/taskInstances"
        for task in ("fetch", "classify", "annotate", "anonymize", "store"):
            for entry in api.get(f"{path}/{task}/xcomEntries")["xcom_entries"]:
                value = api.get(f"{path}/{task}/xcomEntries/{entry['key']}")
                assert not wanted.search(json.dumps(value))
            shown = api.get(f"{path}/{task}")
            assert not wanted.search(json.dumps(shown))
    for entry in ObjectStore(stack.s3).list(BUCKETS.anonymized):
        head = stack.s3.head_object(Bucket=BUCKETS.anonymized, Key=entry.key)
        assert not wanted.search(entry.key + json.dumps(head["Metadata"]))


def test_a_rerun_gives_the_same_outputs_and_one_more_record(
    stack: Stack, cases: list[Case], api: Api
) -> None:
    case = next(case for case in cases if case.label == "Pneumonia")
    before, run_id = contents(stack), f"xray__{case.case_id}"
    api.post(f"/dags/xray_case/dagRuns/{run_id}/clear", {"dry_run": False})
    wait_until(
        lambda: api.get(f"/dags/xray_case/dagRuns/{run_id}")["state"] == "success",
        "the rerun's end",
        seconds=LONG,
        children=stack.children,
    )
    assert contents(stack) == before
    records = audit.records(ObjectStore(stack.s3), BUCKETS.audit, case.case_id)
    assert [record["outcome"] for record in records] == ["succeeded"] * 2
    assert len(runs(api)) == 16


def test_a_notification_that_comes_again_starts_nothing(
    stack: Stack, cases: list[Case], api: Api
) -> None:
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
            else:  # A topic is made by its first message.
                assert message.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART
    finally:
        consumer.close()
    return found


def test_a_bad_file_fails_once_with_its_reason(stack: Stack, cases: list[Case], api: Api) -> None:
    stack.s3.put_object(Bucket=BUCKET, Key="letters/bad.jpeg", Body=b"a letter")
    found = {r["conf"]["key"]: r for r in ended(api, stack, 17)}
    assert found["letters/bad.jpeg"]["state"] == "failed"
    run_id = found["letters/bad.jpeg"]["dag_run_id"]
    task = api.get(f"/dags/xray_case/dagRuns/{run_id}/taskInstances/fetch")
    assert task["try_number"] == 1, "it is not tried again"
    (record,) = audit.records(ObjectStore(stack.s3), BUCKETS.audit, run_id.removeprefix("xray__"))
    assert "neither JPEG, PNG nor TIFF" in record["error"]


def test_a_backfill_starts_each_object_once(stack: Stack, cases: list[Case], api: Api) -> None:
    already = len(runs(api))
    for _ in range(2):
        body = {"logical_date": None, "conf": {"bucket": BUCKET, "prefix": "NORMAL/"}}
        started = api.post("/dags/xray_backfill/dagRuns", body)["dag_run_id"]
        path = f"/dags/xray_backfill/dagRuns/{started}"
        wait_until(
            lambda path=path: api.get(path)["state"] in ("success", "failed"),  # type: ignore[misc]
            "the backfill's end",
            seconds=LONG,
            children=stack.children,
        )
        assert api.get(path)["state"] == "success"
        assert len(ended(api, stack, already + 8)) == already + 8
    answer = api.get(f"{path}/taskInstances/start_cases/xcomEntries/return_value")
    assert answer["value"] == {"objects": 8, "duplicate": 8}


def test_the_database_was_never_locked(stack: Stack, cases: list[Case]) -> None:
    for path in (stack.home / "logs").glob("*.log"):
        text = path.read_text(errors="replace")
        assert "database is locked" not in text
        assert "OperationalError" not in text, path.name
