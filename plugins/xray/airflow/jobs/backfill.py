"""Cases for objects that are in a bucket already: a backfill, or a reconciliation.

A walk through the bucket, page by page. What it starts has an id made of the
object, so a walk that is killed and begun again starts nothing twice. It fills
half of the places for cases at most, so that one that a notification starts
always finds a free one. (Airflow's pools and priorities are of tasks, and a
backfilled case has the same tasks as a live one.)
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Any

from airflow.sdk import BaseHook, get_current_context, task

from xray.airflow import config, connections
from xray.airflow.api import RunsClient
from xray.case import RUN_PREFIX, Buckets, Source
from xray.pseudonym import Keyring
from xray.storage import Entry, ObjectStore

log = logging.getLogger(__name__)

JSON = dict[str, Any]

BATCH = 100
"""Objects that are looked at together: memory does not grow with the bucket."""
LOOKS = 8
"""Questions to the store under way at once."""
ROOM_SECONDS = 0.25
"""How often a waiting walk looks whether there is room."""
UNDER_WAY = ["queued", "running"]
STAGED_HOURS = 24
"""How long a staged image may be left lying; that of a case under way is left alone."""


def backfill_limit() -> int:
    """How many cases may be under way for a walk to start more: half of those that can be."""
    return max(1, config.active_cases() // 2)


class Only(StrEnum):
    """Which objects get a case."""

    WITHOUT_RESULT = "without a result"
    NEVER_SEEN = "never seen"
    """Without a result, an audit record, or a run: its notification never came."""
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """What to look for, and where."""

    bucket: str
    prefix: str = ""
    since: datetime | None = None
    until: datetime | None = None
    """When the object was uploaded: from ``since`` on, before ``until``."""
    only: Only = Only.WITHOUT_RESULT
    most: int | None = None
    """Cases to start, at most."""
    dry_run: bool = False
    rerun: str = ""
    """Made part of the ids, so that objects that such a walk has started before get a new case."""
    origin: str = "backfill"

    def source(self, entry: Entry) -> Source:
        """The source of a listed object: its time of upload stands for the event's."""
        return Source(
            bucket=self.bucket,
            key=entry.key,
            etag=entry.etag,
            size=entry.size,
            sequencer=f"{self.rerun}{entry.modified.isoformat()}",
            event_time=entry.modified.isoformat(),
            origin=self.origin,
        )

    def concerns(self, entry: Entry) -> bool:
        """Whether the object is one that is asked for: a folder's own entry never is."""
        return (
            not entry.key.endswith("/")
            and (self.since is None or entry.modified >= self.since)
            and (self.until is None or entry.modified < self.until)
        )


class Walker:
    """Goes through a bucket, and starts the cases that are missing.

    Args:
        walk: what to look for.
        store: where the objects are.
        client: starts the runs.
        keyring: what their ids are keyed with.
    """

    def __init__(
        self, walk: Walk, store: ObjectStore, client: RunsClient, keyring: Keyring
    ) -> None:
        self._walk, self._store, self._client, self._keyring = walk, store, client, keyring
        self._looks = asyncio.Semaphore(LOOKS)
        self._waiting = False
        self.counts: Counter[str] = Counter(objects=0)
        """What came of the objects so far."""

    async def go(self, told: Callable[[Mapping[str, int]], None]) -> None:
        """Walk to the end; ``told`` hears the counts after each batch.

        Raises:
            ObjectError: the store refuses.
            TransientError: the store or Airflow's API cannot answer now; walk again.
        """
        listing = self._store.list(self._walk.bucket, self._walk.prefix)
        while entries := await asyncio.to_thread(list, islice(listing, BATCH)):
            enough = await self._take(entries)
            told(self.counts)
            if enough:
                return

    async def _take(self, entries: Sequence[Entry]) -> bool:
        """Take a batch of the listing; whether the walk has started all that it may."""
        reasons = await asyncio.gather(*map(self._why_not, entries))
        sources: list[Source] = []
        enough = False
        for entry, reason in zip(entries, reasons, strict=True):
            if reason is None:
                if self._walk.most is not None and self._begun + len(sources) >= self._walk.most:
                    enough = True
                    break
                sources.append(self._walk.source(entry))
            else:
                self.counts[reason] += 1
            self.counts["objects"] += 1
        if self._walk.dry_run:
            self.counts["to_start"] += len(sources)
        else:
            await self._start(sources)
        return enough

    @property
    def _begun(self) -> int:
        """What counts against the most cases that may be started."""
        return self.counts["to_start"] + self.counts["started"]

    async def _start(self, sources: list[Source]) -> None:
        """Start the cases, never more than there is room for."""
        while sources:
            under_way = await self._client.count(config.CASE_DAG, state=UNDER_WAY)
            free = max(0, backfill_limit() - under_way)
            now, sources = sources[:free], sources[free:]
            if not now:
                if not self._waiting:
                    log.info("%d cases are under way: waiting for room.", under_way)
                await asyncio.sleep(ROOM_SECONDS)
            self._waiting = not now
            for answer in await asyncio.gather(
                *(
                    self._client.start(config.CASE_DAG, one.run_id(self._keyring), one.to_json())
                    for one in now
                )
            ):
                self.counts[answer.value] += 1

    async def _why_not(self, entry: Entry) -> str | None:
        """Why an object gets no case, as the name of a counter; None if it gets one."""
        if not self._walk.concerns(entry):
            return "not_asked_for"
        if self._walk.only is Only.ALL:
            return None
        source = self._walk.source(entry)
        async with self._looks:
            if await asyncio.to_thread(self._has_result, source):
                return "with_result"
            started = RUN_PREFIX + source.object_id(self._keyring)
            if await self._runs(started, state=UNDER_WAY):
                return "under_way"
            if self._walk.only is Only.NEVER_SEEN and (
                await self._runs(started) or await asyncio.to_thread(self._has_record, source)
            ):
                return "seen"
        return None

    async def _runs(self, prefix: str, **query: list[str]) -> int:
        return await self._client.count(config.CASE_DAG, run_id_prefix_pattern=prefix, **query)

    def _has_result(self, source: Source) -> bool:
        """Whether the annotated image of this very content is there."""
        head = self._store.head(Buckets(source.bucket).processed, source.processed_key())
        return head is not None and head.metadata.get("source-etag") == source.etag

    def _has_record(self, source: Source) -> bool:
        """Whether a case of this very content has ended."""
        records = self._store.list(Buckets(source.bucket).audit, source.object_id(self._keyring))
        return next(records, None) is not None


async def sweep(bucket: str, store: ObjectStore, client: RunsClient, before: datetime) -> int:
    """Remove what was staged before then and no case under way needs; returns how many images.

    A case clears its stage when it ends. What is found here is of one that could not: the store
    was away, or the worker and the scheduler died.
    """
    stage, swept = Buckets(bucket).staging, 0
    for entry in store.list(stage):
        case_id = entry.key.partition("/")[0]
        if entry.modified < before and not await client.count(
            config.CASE_DAG, run_id_prefix_pattern=RUN_PREFIX + case_id, state=UNDER_WAY
        ):
            store.delete(stage, entry.key)
            swept += 1
    return swept


def _when(text: str | None) -> datetime | None:
    """A param's time; without a zone it is in UTC."""
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _walk(walk: Walk, context: Mapping[str, Any]) -> JSON:
    """Walk, with the counts as the task's XCom ``progress`` on the way."""

    def told(counts: Mapping[str, int]) -> None:
        log.info("%s", dict(counts))
        context["ti"].xcom_push(key="progress", value=dict(counts))

    async def go(connection: Any) -> JSON:
        async with RunsClient.from_connection(connection) as client:
            store, keyring = connections.object_store(), config.keyring()
            walker = Walker(walk, store, client, keyring)
            await walker.go(told)
            return dict(walker.counts)

    return asyncio.run(go(BaseHook.get_connection(connections.API_CONNECTION)))


@task
def start_cases() -> JSON:
    """Start a case for each object that the params choose; says what came of them all."""
    context = get_current_context()
    params = context["params"]
    walk = Walk(
        bucket=params["bucket"],
        prefix=params["prefix"] or "",
        since=_when(params["since"]),
        until=_when(params["until"]),
        only=Only(params["only"]),
        most=params["most"],
        dry_run=params["dry_run"],
        # A retry of this task must know its own cases again.
        rerun=f"{context['run_id']} " if params["rerun"] else "",
    )
    return _walk(walk, context)


@task
def start_missed() -> JSON:
    """Start a case for each object that was uploaded lately and whose notification never came."""
    context = get_current_context()
    params, now = context["params"], datetime.now(UTC)
    walk = Walk(
        bucket=params["bucket"],
        since=now - timedelta(hours=params["hours"]),
        until=now - timedelta(minutes=params["minutes"]),
        only=Only.NEVER_SEEN,
        dry_run=params["dry_run"],
        origin="reconcile",
    )
    return _walk(walk, context)


@task
def sweep_stage() -> JSON:
    """Remove staged images that were left lying."""
    params = get_current_context()["params"]

    async def go(connection: Any) -> int:
        before = datetime.now(UTC) - timedelta(hours=STAGED_HOURS)
        async with RunsClient.from_connection(connection) as client:
            return await sweep(params["bucket"], connections.object_store(), client, before)

    return {"swept": asyncio.run(go(BaseHook.get_connection(connections.API_CONNECTION)))}
