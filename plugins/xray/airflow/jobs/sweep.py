"""End the attempts that nobody will end, and remove their staged images.

An attempt removes its staged images when it ends. The images that are found here
belong to one that could not do so, because the store was down, or because the
worker and the scheduler died. Such an attempt may have written outputs as well.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from airflow.sdk import get_current_context, task

from xray.airflow import api, config, connections
from xray.airflow.api import ACTIVE_STATES, RunsClient
from xray.airflow.blocked import tells_if_blocked
from xray.airflow.unexpected import without_messages
from xray.case import RUN_PREFIX, Buckets, Run, Source, Work, ending
from xray.case.manifest import WAITING_PREFIX
from xray.errors import PermanentError
from xray.pseudonym import Keyring
from xray.settings import Settings
from xray.storage import ListedObject, ObjectStore

STAGED_HOURS = 24
"""Staged images are removed once they are older than this, unless their case is active or waits."""


async def sweep(
    bucket: str, store: ObjectStore, client: RunsClient, keyring: Keyring, before: datetime
) -> Counter[str]:
    """End the attempts whose images were staged ``before`` a time and whose cases are not active.

    Args:
        bucket: the bucket in which the images landed.
        store: holds the staged images.
        client: tells which cases are active.
        keyring: the deployment's secrets.
        before: images that were staged at this time or later are kept.

    Returns:
        How many images were removed, and how many attempts were ended.
    """
    buckets, counts = Buckets(bucket), Counter(swept=0, ended=0)
    waiting = {entry.key.split("/")[2] for entry in store.list(buckets.manifests, WAITING_PREFIX)}
    for case_id, staged in groupby(store.list(buckets.staging), key=_case_id):
        old = [entry.key for entry in staged if entry.modified < before]
        if not old or case_id in waiting or await _is_active(client, case_id):
            continue
        for attempt in dict.fromkeys(key.rpartition("/")[0] for key in old):
            counts["ended"] += await _end(store, client, keyring, attempt)
        for key in old:
            store.delete(buckets.staging, key)
        counts["swept"] += len(old)
    return counts


def _case_id(entry: ListedObject) -> str:
    return entry.key.partition("/")[0]


async def _is_active(client: RunsClient, case_id: str) -> bool:
    """Return whether a run of the case, or of a form of it, is active."""
    for dag_id in (config.CASE_DAG, config.REVIEW_DAG):
        prefix = RUN_PREFIX + case_id
        if await client.count(dag_id, run_id_prefix_pattern=prefix, state=ACTIVE_STATES):
            return True
    return False


async def _end(store: ObjectStore, client: RunsClient, keyring: Keyring, attempt: str) -> bool:
    """End the claim of an attempt; return whether its run still says what it was about.

    Args:
        store, client, keyring: see :func:`sweep`.
        attempt: the case id and the number of the claim, with a slash between them.
    """
    case_id, _, number = attempt.partition("/")
    conf = await client.conf(config.CASE_DAG, RUN_PREFIX + case_id)
    if conf is None or not number:
        return False
    try:
        source = Source.from_conf(conf, keyring)
    except PermanentError:
        return False  # The secret that has sealed the key is no longer there.
    work = Work(
        store=store,
        source=source,
        settings=Settings(),
        keyring=keyring,
        run=Run(run_id="", task="sweep", try_number=1, triggered_by=None, reran_by=None),
        token="sweep:sweep:0",  # noqa: S106 - it names a task
        carried_id=case_id,
        claim=int(number),
    )
    await asyncio.to_thread(ending.end_claim, work)
    return True


@task
@without_messages()
@tells_if_blocked()
def sweep_stage() -> dict[str, Any]:
    """End the attempts that have left staged images behind; return the counts."""
    params = get_current_context()["params"]

    before = datetime.now(UTC) - timedelta(hours=STAGED_HOURS)
    store, keyring = connections.object_store(), config.keyring()
    return dict(api.call(lambda client: sweep(params["bucket"], store, client, keyring, before)))
