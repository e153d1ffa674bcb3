"""The forms of cases that wait for a person: opened a few at a time, and closed again.

A form is a run of ``xray_review`` or ``xray_release``. Airflow's scheduler looks at
20 running runs in each of its loops, and at waiting ones as well, so many open forms
would delay all cases. Therefore only ``[xray] open_forms`` forms of a kind are opened
by themselves. The bucket of the manifests is the queue of the others: whenever a form
ends, the oldest case that waits gets one. The page *Waiting* lists all of them, and
opens a form for each on request.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

from xray.airflow import api, config, connections
from xray.airflow.api import ACTIVE_STATES, RunsClient, Started
from xray.case import RUN_PREFIX, Buckets, seal_result
from xray.case.manifest import RELEASE, REVIEW, WAITING_PREFIX, Request
from xray.case.requests import Waiting, read_marker, remove_marker, waits
from xray.errors import NotFoundError, StaleError
from xray.pseudonym import Keyring
from xray.settings import Settings
from xray.storage import ListedObject, ObjectStore

DAGS = {REVIEW: config.REVIEW_DAG, RELEASE: config.RELEASE_DAG}
"""The DAG of each kind of form."""
WITHDRAWN = "Withdrawn: the case was run again, or another case of the same object has taken over."


def form_run_id(marker: str) -> str:
    """Return the id of the form's run that belongs to the key of a marker."""
    case_id, claim = marker.split("/")[-2:]
    return f"{RUN_PREFIX}{case_id}__{claim}"


def form_conf(waiting: Waiting, keyring: Keyring) -> dict[str, Any]:
    """Return the conf of the form's run, with everything sealed that names the object."""
    case_id = waiting.request.case_id
    settings = Settings.from_mapping(waiting.pinned.settings)
    return {
        **waiting.source.to_conf(keyring, case_id),
        "pinned": waiting.pinned.to_json(),
        "scored": seal_result(waiting.scored, settings=settings, keyring=keyring, case_id=case_id),
        "request": waiting.request.to_json(),
    }


async def open_form(client: RunsClient, waiting: Waiting, keyring: Keyring) -> Started:
    """Open the form of a waiting case, unless it has one.

    Raises:
        TransientError: the API does not answer, or cannot start any run.
        RunRefusedError: the API refuses the run.
    """
    request = waiting.request
    conf = form_conf(waiting, keyring)
    return await client.start(DAGS[request.kind], form_run_id(request.marker), conf)


async def open_forms(
    client: RunsClient,
    store: ObjectStore,
    buckets: Buckets,
    kind: str,
    keyring: Keyring,
    *,
    again: bool = False,
) -> Counter[str]:
    """Open forms for the cases that have waited longest, until enough forms are open.

    A review whose time is over gets its form at once, because the form then lets the case go on.

    Args:
        client: starts the runs.
        store: holds the manifests.
        buckets: the buckets of the cases.
        kind: the kind of the forms.
        keyring: the deployment's secrets.
        again: also open the forms again whose runs have ended without an answer.

    Returns:
        How many cases wait, how many forms were opened, and how many markers were out of date.
    """
    dag_id, counts = DAGS[kind], Counter(waiting=0, opened=0, outdated=0)
    active = set(await client.run_ids(dag_id, state=ACTIVE_STATES))
    room = config.open_forms() - len(active)
    entries = await asyncio.to_thread(_oldest_first, store, buckets, kind)
    counts["waiting"] = len(entries)
    for entry in entries:
        if form_run_id(entry.key) in active:
            continue
        try:
            waiting = await asyncio.to_thread(read_marker, store, buckets, entry.key)
        except NotFoundError:
            continue  # It was answered meanwhile.
        if room <= 0 and not _is_over(waiting.request):
            break
        if not await asyncio.to_thread(waits, store, buckets, waiting):
            await asyncio.to_thread(remove_marker, store, buckets, waiting.request)
            counts["outdated"] += 1
            continue
        opened = await _open(client, waiting, keyring, again=again)
        counts["opened"] += opened
        room -= opened
    return counts


async def open_on_request(
    client: RunsClient, store: ObjectStore, buckets: Buckets, marker: str, keyring: Keyring
) -> None:
    """Open the form of one case, also if its run has ended without an answer.

    Args:
        client: starts the run.
        store: holds the manifests.
        buckets: the buckets of the case.
        marker: the key of the marker of the case.
        keyring: the deployment's secrets.

    Raises:
        NotFoundError, StaleError: the case waits no longer.
        ObjectError, TransientError: the store or the API refuses, or does not answer.
        RunRefusedError: the API refuses the run.
    """
    waiting = await asyncio.to_thread(read_marker, store, buckets, marker)
    if not await asyncio.to_thread(waits, store, buckets, waiting):
        await asyncio.to_thread(remove_marker, store, buckets, waiting.request)
        raise StaleError("The case does not wait with this request any more.")
    await _open(client, waiting, keyring, again=True)


def offer(waiting: Waiting) -> None:
    """Open a form for a case that has begun to wait, if few are open; otherwise it queues.

    If the case was run again, its form may have ended before, and is opened again. The case waits
    in any case, so a failure is only logged.
    """

    async def send(client: RunsClient) -> None:
        active = await client.count(DAGS[waiting.request.kind], state=ACTIVE_STATES)
        if active < config.open_forms():
            await _open(client, waiting, config.keyring(), again=True)

    api.try_request(send, "No form was opened yet")


def open_next(bucket: str, kind: str) -> None:
    """Open the form of the case that has waited longest. A failure is only logged."""

    async def send(client: RunsClient) -> None:
        store = connections.object_store()
        await open_forms(client, store, Buckets(bucket), kind, config.keyring())

    api.try_request(send, "No further form was opened")


def close(request: Request) -> None:
    """Close the form of a withdrawn request. If that fails, an answer is still refused."""
    dag_id = DAGS[request.kind]
    api.try_request(
        lambda client: client.close(dag_id, form_run_id(request.marker), WITHDRAWN),
        "A withdrawn form was not closed",
    )


async def _open(client: RunsClient, waiting: Waiting, keyring: Keyring, *, again: bool) -> bool:
    """Open the form of a waiting case, and return whether it was opened.

    Args:
        client: starts the run.
        waiting: the case.
        keyring: the deployment's secrets.
        again: also open a form again whose run has ended without an answer.
    """
    if await open_form(client, waiting, keyring) is Started.NEW:
        return True
    run_id = form_run_id(waiting.request.marker)
    return again and await client.clear(DAGS[waiting.request.kind], run_id)


def _oldest_first(store: ObjectStore, buckets: Buckets, kind: str) -> list[ListedObject]:
    entries = store.list(buckets.manifests, f"{WAITING_PREFIX}{kind}/")
    return sorted(entries, key=lambda entry: (entry.modified, entry.key))


def _is_over(request: Request) -> bool:
    """Return whether the time to answer is over."""
    return request.until is not None and datetime.fromisoformat(request.until) <= datetime.now(UTC)
