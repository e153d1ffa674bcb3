"""xray.airflow.jobs.sweep: on an S3 server and an API server of the tests' own"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.fake_api import FakeApi
from xray.airflow.api import RunsClient
from xray.airflow.jobs.sweep import sweep
from xray.case import RUN_PREFIX, Buckets
from xray.storage import ObjectStore

BUCKET = "xray-data-in"


def test_only_images_of_active_cases_stay(s3: Any, api: FakeApi, store: ObjectStore) -> None:
    stage = Buckets(BUCKET).staging
    for case, state in (("a" * 32, "running"), ("b" * 32, "failed"), ("c" * 32, "success")):
        run_id = RUN_PREFIX + case
        api.runs[run_id], api.states[run_id] = {}, state
        s3.put_object(Bucket=stage, Key=f"{case}/annotated.jpeg", Body=b"")
    s3.put_object(Bucket=stage, Key=f"{'d' * 32}/annotated.jpeg", Body=b"")

    async def swept(before: datetime) -> int:
        async with RunsClient(api.url, "xray", "right") as client:
            return await sweep(BUCKET, store, client, before)

    now = datetime.now(UTC)
    assert asyncio.run(swept(now - timedelta(hours=1))) == 0, "a case may still need them"
    assert asyncio.run(swept(now + timedelta(hours=1))) == 3
    assert [entry.key[0] for entry in store.list(stage)] == ["a"]
