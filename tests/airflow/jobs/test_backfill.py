"""xray.airflow.jobs.backfill: on an S3 server and an API server of the tests' own"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support import KEYRING, RUN, SECRET
from tests.support.fake_api import FakeApi
from xray import audit
from xray.airflow.api import RunsClient
from xray.airflow.jobs import backfill
from xray.airflow.jobs.backfill import Backfill, BackfillRequest, Only, prefix_of
from xray.case import Buckets, Source, Work
from xray.case.source import seal_prefix
from xray.case.work import record
from xray.errors import PermanentError, SettingsError, TransientError
from xray.settings import Settings
from xray.storage import ObjectStore

BUCKET = "xray-data-in"
REQUEST = BackfillRequest(bucket=BUCKET)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApi]:
    """An API server whose runs end at once."""
    monkeypatch.setattr(backfill, "CAPACITY_SECONDS", 0.01)
    monkeypatch.setattr(backfill, "BATCH", 20)
    api = FakeApi()
    api.usual_state = "success"
    yield api
    api.close()


@pytest.fixture
def objects(s3: Any) -> list[str]:
    """The keys of 50 objects in the bucket, beside the entry of their folder."""
    keys = [f"NORMAL/Ada Ashgrove {number:03d}.jpeg" for number in range(50)]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=key.encode())
    s3.put_object(Bucket=BUCKET, Key="NORMAL/", Body=b"")
    return keys


def backfilled(
    api: FakeApi, store: ObjectStore, request: BackfillRequest = REQUEST, **changes: Any
) -> dict[str, int]:
    """Run a backfill and return its counts."""

    async def run() -> dict[str, int]:
        async with RunsClient(api.url, "xray", "right") as client:
            job = Backfill(dataclasses.replace(request, **changes), store, client, KEYRING)
            await job.run(lambda counts: None)
            return dict(job.counts)

    return asyncio.run(run())


def finish(s3: Any, key: str) -> None:
    """Publish a result of the object's present content."""
    source = Source(bucket=BUCKET, key=key)
    etag = s3.head_object(Bucket=BUCKET, Key=key)["ETag"].strip('"')
    metadata = {"source-etag": etag}
    bucket = Buckets(BUCKET).processed
    s3.put_object(Bucket=bucket, Key=source.processed_key(), Body=b"", Metadata=metadata)


def test_each_object_gets_one_case(api: FakeApi, store: ObjectStore, objects: list[str]) -> None:
    assert backfilled(api, store) == {"objects": 51, "not_asked_for": 1, "started": 50}
    assert api.object_keys() == objects
    assert "Ashgrove" not in str(api.runs), "the keys are sealed"
    assert backfilled(api, store) == {"objects": 51, "not_asked_for": 1, "duplicate": 50}
    assert len(api.runs) == 50


def test_an_object_with_a_result_gets_no_case(
    s3: Any, api: FakeApi, store: ObjectStore, objects: list[str]
) -> None:
    for key in objects[:10]:
        finish(s3, key)
    s3.put_object(Bucket=BUCKET, Key=objects[0], Body=b"another upload since")
    counts = backfilled(api, store)
    assert (counts["with_result"], counts["started"]) == (9, 41)
    assert backfilled(api, store, only=Only.ALL)["started"] == 9


def test_a_rerun_gives_each_a_new_case_once(
    api: FakeApi, store: ObjectStore, objects: list[str]
) -> None:
    backfilled(api, store)
    for _ in range(2):
        backfilled(api, store, rerun="manual__1 ")
        assert len(api.runs) == 100
    backfilled(api, store, rerun="manual__2 ")
    assert len(api.runs) == 150


def test_a_dry_run_counts_and_starts_nothing(
    s3: Any, api: FakeApi, store: ObjectStore, objects: list[str]
) -> None:
    finish(s3, objects[0])
    assert backfilled(api, store, dry_run=True, prefix="NORMAL/Ada") == {
        "objects": 50,
        "with_result": 1,
        "to_start": 49,
    }
    assert api.runs == {}


def test_it_starts_no_more_than_most(api: FakeApi, store: ObjectStore, objects: list[str]) -> None:
    assert backfilled(api, store, most=30)["started"] == 30
    assert len(api.runs) == 30
    assert backfilled(api, store, most=0, dry_run=True).get("to_start", 0) == 0


def test_the_time_of_upload_selects(api: FakeApi, store: ObjectStore, objects: list[str]) -> None:
    now, hour = datetime.now(UTC), timedelta(hours=1)
    assert backfilled(api, store, until=now - hour) == {"objects": 51, "not_asked_for": 51}
    assert backfilled(api, store, since=now + hour) == {"objects": 51, "not_asked_for": 51}
    assert backfilled(api, store, since=now - hour, until=now + hour)["started"] == 50


def live(s3: Any, key: str) -> Source:
    """The source of a case that a notification started."""
    etag = s3.head_object(Bucket=BUCKET, Key=key)["ETag"].strip('"')
    return Source(bucket=BUCKET, key=key, etag=etag, sequencer="A", origin="ceph")


def test_an_object_with_an_active_case_gets_none(
    s3: Any, api: FakeApi, store: ObjectStore, objects: list[str]
) -> None:
    for key, state in zip(objects, ("queued", "running", "failed"), strict=False):
        run_id = live(s3, key).run_id(KEYRING)
        api.runs[run_id], api.states[run_id] = {}, state
    counts = backfilled(api, store)
    assert (counts["under_way"], counts["started"]) == (2, 48), "one that failed gets a case"


def test_never_seen_excludes_objects_with_a_trace(
    s3: Any, api: FakeApi, store: ObjectStore, objects: list[str]
) -> None:
    with_result, with_run, with_record, *_ = objects
    finish(s3, with_result)
    run_id = live(s3, with_run).run_id(KEYRING)
    api.runs[run_id], api.states[run_id] = {}, "failed"
    work = Work(
        store=store,
        source=live(s3, with_record),
        settings=Settings(),
        keyring=KEYRING,
        run=RUN,
        token="fetch:6",
    )
    record(work, audit.FAILED, error="It is no image.", kind="permanent")
    counts = backfilled(api, store, only=Only.NEVER_SEEN, origin="reconcile")
    assert (counts["with_result"], counts["seen"], counts["started"]) == (1, 2, 47)
    assert backfilled(api, store, only=Only.NEVER_SEEN)["seen"] == 49


def test_it_leaves_half_of_the_active_cases_to_notifications(
    api: FakeApi, store: ObjectStore, objects: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__XRAY__ACTIVE_CASES", "9")
    api.usual_state = "queued"
    most = 0

    class Client(RunsClient):
        async def count(self, dag_id: str, **query: Any) -> int:
            nonlocal most
            under_way = await super().count(dag_id, **query)
            most = max(most, under_way)
            if under_way >= 4:  # Some cases start and one ends; the backfill goes on.
                first, *others = [run for run in api.runs if api.states.get(run) != "success"]
                api.states[first] = "success"
                api.states |= dict.fromkeys(others, "running")
            return under_way

    monkeypatch.setattr(f"{__name__}.RunsClient", Client)
    assert backfilled(api, store, only=Only.ALL)["started"] == 50
    assert most == 4


def test_a_backfill_that_fails_and_runs_again_starts_each_once(
    api: FakeApi, store: ObjectStore, objects: list[str]
) -> None:
    answered = 0

    class Breaking(ObjectStore):
        def head(self, bucket: str, key: str) -> Any:
            nonlocal answered
            answered += 1
            if answered > 30:
                raise TransientError("The store is away.")
            return super().head(bucket, key)

    with pytest.raises(TransientError):
        backfilled(api, Breaking(store._client))
    assert 0 < len(api.runs) < 50
    counts = backfilled(api, store)
    assert len(api.runs) == 50
    assert counts["started"] + counts["duplicate"] == 50


def test_a_bucket_of_results_is_refused() -> None:
    with pytest.raises(SettingsError, match="xray-data-in-audit ends in -audit"):
        BackfillRequest(bucket="xray-data-in-audit")


def test_a_prefix_may_be_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", SECRET)
    sealed = seal_prefix(KEYRING, BUCKET, "Ada Ashgrove/")
    assert "Ashgrove" not in sealed
    assert prefix_of({"bucket": BUCKET, "prefix": None, "sealed": sealed}) == "Ada Ashgrove/"
    assert prefix_of({"bucket": BUCKET, "prefix": "NORMAL/", "sealed": None}) == "NORMAL/"
    assert prefix_of({"bucket": BUCKET, "prefix": None}) == "", "an earlier version has no param"
    with pytest.raises(SettingsError, match="leave one of them out"):
        prefix_of({"bucket": BUCKET, "prefix": "NORMAL/", "sealed": sealed})
    with pytest.raises(PermanentError):
        prefix_of({"bucket": "another-bucket", "prefix": None, "sealed": sealed})
