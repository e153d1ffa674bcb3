"""Start cases for objects that are in a bucket already.

A backfill lists the bucket page by page. The id of each run is derived from
the object, so a backfill that is killed and run again starts nothing twice.

It starts runs only while fewer than half of the active cases that Airflow
allows exist, so that a case that a notification starts never has to wait for
the backfill. (Pools and priorities of Airflow cannot do that: they apply to
tasks, and a backfilled case has the same tasks as any other.)
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any

from airflow.sdk import get_current_context, task

from xray.airflow import api, config, connections
from xray.airflow.api import ACTIVE_STATES, RunsClient, Started
from xray.airflow.blocked import tells_if_blocked
from xray.airflow.unexpected import without_messages
from xray.case import RUN_PREFIX, SOURCE_ETAG, Buckets, Source, unseal_prefix
from xray.errors import SettingsError
from xray.notification import is_folder_marker
from xray.pseudonym import Keyring
from xray.storage import ListedObject, ObjectStore
from xray.suffixes import landing_bucket
from xray.times import time_of

log = logging.getLogger(__name__)

JSON = dict[str, Any]

BATCH = 100
"""Objects that are checked together, so that memory does not grow with the bucket."""
LOOKUPS = 8
"""Objects that are looked up in the store and in Airflow at once, at most."""
CAPACITY_SECONDS = 0.25
"""How often a backfill that waits checks whether it may start more cases."""


def backfill_limit() -> int:
    """Return how many cases may be active while a backfill starts more: half of the maximum."""
    return max(1, config.active_cases() // 2)


class Only(StrEnum):
    """Which objects get a case."""

    WITHOUT_RESULT = "without a result"
    NEVER_SEEN = "never seen"
    """Objects without a result, an audit record and a run: no notification of them arrived."""
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackfillRequest:
    """Which objects of which bucket get a case.

    Raises:
        SettingsError: the bucket is an output bucket, or ``since`` is not before ``until``.
    """

    bucket: str
    prefix: str = ""
    since: datetime | None = None
    """Only objects uploaded at this time or later."""
    until: datetime | None = None
    """Only objects uploaded before this time."""
    only: Only = Only.WITHOUT_RESULT
    most: int | None = None
    """Cases to start, at most."""
    dry_run: bool = False
    rerun: str = ""
    """Part of the ids: a backfill with another value starts new cases for the same objects."""
    origin: str = "backfill"

    def __post_init__(self) -> None:
        landing_bucket(self.bucket)
        if self.since and self.until and self.since >= self.until:
            raise SettingsError(
                f"since ({self.since.isoformat()}) is not before until ({self.until.isoformat()})."
            )

    def source(self, entry: ListedObject) -> Source:
        """Return the source of a listed object."""
        return Source.from_listing(self.bucket, entry, self.origin, rerun=self.rerun)

    def includes(self, entry: ListedObject) -> bool:
        """Return whether the request is about this object; it never is about a folder marker."""
        return (
            not is_folder_marker(entry.key, entry.size)
            and (self.since is None or entry.modified >= self.since)
            and (self.until is None or entry.modified < self.until)
        )


class Backfill:
    """Lists a bucket and starts the cases that a request asks for.

    Args:
        request: which objects get a case.
        store: holds the objects.
        client: starts the runs.
        keyring: the secrets of the run ids and of the sealed object keys.
    """

    def __init__(
        self, request: BackfillRequest, store: ObjectStore, client: RunsClient, keyring: Keyring
    ) -> None:
        self._request, self._store, self._client, self._keyring = request, store, client, keyring
        self._lookups = asyncio.Semaphore(LOOKUPS)
        self._waiting = False
        self.counts: Counter[str] = Counter(objects=0)
        """How many objects were listed, and what became of them, by the name of a counter."""

    async def run(self, on_progress: Callable[[Mapping[str, int]], None]) -> None:
        """List the bucket to its end, and call ``on_progress`` with the counts after each batch.

        Raises:
            ObjectError: the store refuses a request.
            TransientError: the store or Airflow's API does not answer; run the backfill again.
        """
        listing = self._store.list(self._request.bucket, self._request.prefix)
        while entries := await asyncio.to_thread(list, islice(listing, BATCH)):
            finished = await self._process(entries)
            on_progress(self.counts)
            if finished:
                return

    async def _process(self, entries: Sequence[ListedObject]) -> bool:
        """Start the cases of a batch; return whether the most cases were started."""
        reasons = await asyncio.gather(*map(self._reason_to_skip, entries))
        sources: list[Source] = []
        finished = False
        for entry, reason in zip(entries, reasons, strict=True):
            if reason is None:
                started = self.counts["to_start"] + self.counts["started"] + len(sources)
                if self._request.most is not None and started >= self._request.most:
                    finished = True
                    break
                sources.append(self._request.source(entry))
            else:
                self.counts[reason] += 1
            self.counts["objects"] += 1
        if self._request.dry_run:
            self.counts["to_start"] += len(sources)
        else:
            await self._start(sources)
        return finished

    async def _start(self, sources: list[Source]) -> None:
        """Start the cases, and wait while there are too many active ones."""
        while sources:
            active = await self._client.count(config.CASE_DAG, state=ACTIVE_STATES)
            capacity = max(0, backfill_limit() - active)
            batch, sources = sources[:capacity], sources[capacity:]
            if not batch:
                if not self._waiting:
                    log.info("%d cases are active: waiting until fewer are.", active)
                await asyncio.sleep(CAPACITY_SECONDS)
            self._waiting = not batch
            for started in await asyncio.gather(*map(self._start_one, batch)):
                self.counts[started.value] += 1

    async def _start_one(self, source: Source) -> Started:
        run_id, conf = source.run_id(self._keyring), source.to_conf(self._keyring)
        return await self._client.start(config.CASE_DAG, run_id, conf)

    async def _reason_to_skip(self, entry: ListedObject) -> str | None:
        """Return why an object gets no case, as the name of a counter; None if it gets one."""
        if not self._request.includes(entry):
            return "not_asked_for"
        if self._request.only is Only.ALL:
            return None
        source = self._request.source(entry)
        async with self._lookups:
            if await asyncio.to_thread(self._has_result, source):
                return "with_result"
            prefix = RUN_PREFIX + source.object_id(self._keyring)
            if await self._count_runs(prefix, state=ACTIVE_STATES):
                return "under_way"
            if self._request.only is Only.NEVER_SEEN and (
                await self._count_runs(prefix) or await asyncio.to_thread(self._has_record, source)
            ):
                return "seen"
        return None

    async def _count_runs(self, prefix: str, **query: list[str]) -> int:
        return await self._client.count(config.CASE_DAG, run_id_prefix_pattern=prefix, **query)

    def _has_result(self, source: Source) -> bool:
        """Return whether there is an annotated image of the object's present content."""
        head = self._store.head(Buckets(source.bucket).processed, source.processed_key())
        return head is not None and head.metadata.get(SOURCE_ETAG) == source.etag

    def _has_record(self, source: Source) -> bool:
        """Return whether there is an audit record of the object's present content."""
        records = self._store.list(Buckets(source.bucket).audit, source.object_id(self._keyring))
        return next(records, None) is not None


def run_backfill(request: BackfillRequest, context: Mapping[str, Any]) -> JSON:
    """Run a backfill as the task of ``context``; return its counts.

    The counts so far are in the task's XCom ``progress``.
    """

    def publish(counts: Mapping[str, int]) -> None:
        log.info("%s", dict(counts))
        context["ti"].xcom_push(key="progress", value=dict(counts))

    async def run(client: RunsClient) -> JSON:
        backfill = Backfill(request, connections.object_store(), client, config.keyring())
        await backfill.run(publish)
        return dict(backfill.counts)

    return api.call(run)


def parse_time(text: str | None) -> datetime | None:
    """Return the time of a param, in UTC unless it names another zone; None if it is empty.

    Raises:
        SettingsError: the text is not a time in ISO 8601.
    """
    if not text:
        return None
    if (time := time_of(text)) is None:
        raise SettingsError(f"{text!r} is not a time: write it as in 2026-03-01T10:00:00Z.")
    return time


def prefix_of(params: Mapping[str, Any]) -> str:
    """Return the prefix that the params give, as a person has typed it or sealed.

    Raises:
        SettingsError: there are both.
        PermanentError: the sealed prefix was changed.
    """
    typed, sealed = params["prefix"] or "", params.get("sealed")
    if typed and sealed:
        raise SettingsError("There is a prefix and a sealed one: leave one of them out.")
    if not sealed:
        return str(typed)
    return unseal_prefix(config.keyring(), params["bucket"], sealed)


@task
@without_messages()
@tells_if_blocked()
def start_cases() -> JSON:
    """Start a case for each object that the params select; return the counts."""
    context = get_current_context()
    params = context["params"]
    request = BackfillRequest(
        bucket=params["bucket"],
        prefix=prefix_of(params),
        since=parse_time(params["since"]),
        until=parse_time(params["until"]),
        only=Only(params["only"]),
        most=params["most"],
        dry_run=params["dry_run"],
        # The id of the run, so that a retry of this task recognises the cases it has started.
        rerun=f"{context['run_id']} " if params["rerun"] else "",
    )
    return run_backfill(request, context)
