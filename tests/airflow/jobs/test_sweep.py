"""xray.airflow.jobs.sweep: on an S3 server and an API server of the tests' own"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support import KEYRING
from tests.support.cases import carried, objects, upload
from tests.support.fake_api import FakeApi
from xray.airflow.api import RunsClient
from xray.airflow.jobs.sweep import sweep
from xray.case import RUN_PREFIX, Buckets, steps
from xray.case.claim import own_claim
from xray.case.writer import Writer
from xray.storage import ObjectStore

BUCKET = "xray-data-in"
BUCKETS = Buckets(BUCKET)
LATER = timedelta(hours=1)


def swept(api: FakeApi, store: ObjectStore, before: datetime) -> Counter[str]:
    """Sweep, and return the counts."""

    async def run() -> Counter[str]:
        async with RunsClient(api.url, "xray", "right") as client:
            return await sweep(BUCKET, store, client, KEYRING, before)

    return asyncio.run(run())


def test_only_images_of_active_and_waiting_cases_stay(
    s3: Any, api: FakeApi, store: ObjectStore
) -> None:
    stage = BUCKETS.staging
    for case, state in (("a" * 32, "running"), ("b" * 32, "failed"), ("c" * 32, "success")):
        run_id = RUN_PREFIX + case
        api.runs[run_id], api.states[run_id] = {}, state
        s3.put_object(Bucket=stage, Key=f"{case}/annotated.jpeg", Body=b"")
    s3.put_object(Bucket=stage, Key=f"{'d' * 32}/annotated.jpeg", Body=b"")
    s3.put_object(Bucket=stage, Key=f"{'e' * 32}/1/preview.jpeg", Body=b"")
    s3.put_object(Bucket=BUCKETS.manifests, Key=f"waiting/review/{'e' * 32}/1", Body=b"{}")

    now = datetime.now(UTC)
    assert swept(api, store, now - LATER)["swept"] == 0, "a case may still need them"
    assert swept(api, store, now + LATER) == Counter(swept=3, ended=0)
    assert [entry.key[0] for entry in store.list(stage)] == ["a", "e"]


def test_an_attempt_that_nobody_ends_is_ended(
    s3: Any, api: FakeApi, store: ObjectStore, demo_images: list[Any]
) -> None:
    work = upload(s3, store, demo_images[0].read_bytes())
    pinned = steps.fetch(work)
    work = carried(work, pinned)
    steps.annotate(work, pinned, steps.classify(work, pinned))
    manifest, _ = work.manifest.read()
    own = own_claim(work, manifest)
    assert own is not None
    Writer(work, manifest, own).write(BUCKETS.processed, work.source.processed_key(), b"x", "a/b")
    run_id = RUN_PREFIX + work.case_id
    api.runs[run_id], api.states[run_id] = work.source.to_conf(KEYRING), "failed"

    assert swept(api, store, datetime.now(UTC) + LATER) == Counter(swept=2, ended=1)
    assert objects(s3, BUCKETS.staging) == {}
    assert objects(s3, BUCKETS.processed) == {}, "nobody has committed it"
    manifest, _ = work.manifest.read()
    assert (manifest.claims, manifest.outputs) == ((), ())
