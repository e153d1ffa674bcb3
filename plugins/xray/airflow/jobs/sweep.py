"""Remove staged images that no active case needs.

A case removes its staged images when it ends. The images that are found here
belong to a case that could not do so, because the store was down, or because
the worker and the scheduler died.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseHook, get_current_context, task

from xray.airflow import config, connections
from xray.airflow.api import ACTIVE_STATES, RunsClient
from xray.airflow.unexpected import without_messages
from xray.case import RUN_PREFIX, Buckets
from xray.storage import ObjectStore

STAGED_HOURS = 24
"""Staged images are removed once they are older than this, unless their case is active."""


async def sweep(bucket: str, store: ObjectStore, client: RunsClient, before: datetime) -> int:
    """Remove the staged images from ``before`` a time whose cases are not active.

    Args:
        bucket: the bucket in which the images landed.
        store: holds the staged images.
        client: tells which cases are active.
        before: images that were staged at this time or later are kept.

    Returns:
        The number of images removed.
    """
    staging, removed = Buckets(bucket).staging, 0
    for entry in store.list(staging):
        case_id = entry.key.partition("/")[0]
        if entry.modified < before and not await client.count(
            config.CASE_DAG, run_id_prefix_pattern=RUN_PREFIX + case_id, state=ACTIVE_STATES
        ):
            store.delete(staging, entry.key)
            removed += 1
    return removed


@task
@without_messages()
def sweep_stage() -> dict[str, Any]:
    """Remove the staged images that ended cases have left behind; return how many."""
    params = get_current_context()["params"]

    async def run(connection: Any) -> int:
        before = datetime.now(UTC) - timedelta(hours=STAGED_HOURS)
        async with RunsClient.from_connection(connection) as client:
            return await sweep(params["bucket"], connections.object_store(), client, before)

    return {"swept": asyncio.run(run(BaseHook.get_connection(connections.API_CONNECTION)))}
