"""Cases for objects that are in a bucket already."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Any

from airflow.sdk import BaseHook, get_current_context, task

from xray.airflow import deployment
from xray.airflow.runs import RunsClient
from xray.case import Source
from xray.storage import Entry

log = logging.getLogger(__name__)

BATCH = 100
"""Objects whose runs are started at once: memory does not grow with the bucket."""


def source(bucket: str, entry: Entry) -> Source:
    """The case's source for a listed object: its time of upload stands for the event's."""
    return Source(
        bucket=bucket,
        key=entry.key,
        etag=entry.etag,
        size=entry.size,
        event_time=entry.modified.isoformat(),
        origin="backfill",
    )


async def start(client: RunsClient, sources: Iterable[Source], secret: str) -> Counter[str]:
    """Start a run for each of ``sources``; returns how many are new and how many were there."""
    answers = await asyncio.gather(
        *(client.start(deployment.CASE_DAG, one.run_id(secret), one.to_json()) for one in sources)
    )
    return Counter(answer.value for answer in answers)


@task
def start_cases() -> dict[str, Any]:
    """Start one case per object under the prefix; run again, it starts none twice."""
    params = get_current_context()["params"]
    return asyncio.run(_start_all(params["bucket"], params["prefix"]))


async def _start_all(bucket: str, prefix: str) -> dict[str, Any]:
    secret = deployment.pseudonym_secret()
    counts: Counter[str] = Counter()
    listing = deployment.object_store().list(bucket, prefix)
    connection = BaseHook.get_connection(deployment.API_CONNECTION)
    async with RunsClient.from_connection(connection) as client:
        while entries := list(islice(listing, BATCH)):
            counts += await start(client, (source(bucket, entry) for entry in entries), secret)
            log.info("%d objects: %s", counts.total(), dict(counts))
    return {"objects": counts.total(), **counts}
