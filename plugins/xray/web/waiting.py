"""The page *Waiting*: all cases that wait for a person, and a form for each of them on request.

The list is that of the markers in the bucket of the manifests. Their keys say all that it
shows, so that no marker and no manifest is read for it, and none of them names an object.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import BaseHook
from fastapi.responses import HTMLResponse, JSONResponse

from xray.airflow import config, connections
from xray.airflow.addresses import form_address
from xray.airflow.api import ACTIVE_STATES, RunsClient
from xray.airflow.forms import DAGS, form_run_id, open_on_request
from xray.case import Buckets
from xray.case.manifest import RELEASE, REVIEW, WAITING_PREFIX, marker_key
from xray.errors import NotFoundError, StaleError, XrayError
from xray.storage import ObjectStore
from xray.web.pages import HEADERS, in_words, page, status_of

PER_PAGE = 100
"""Cases on one page."""
KINDS = {REVIEW: "Review", RELEASE: "Release"}
"""What the page calls each kind of form."""
_MARKER = re.compile(
    rf"{WAITING_PREFIX}({'|'.join(KINDS)})/([0-9a-f]{{32}})/([1-9][0-9]{{0,9}})", re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A case that waits, as the key of its marker says it."""

    kind: str
    case_id: str
    claim: int
    since: datetime

    @property
    def run_id(self) -> str:
        """The id of the run that is the form of the case."""
        return form_run_id(marker_key(self.kind, self.case_id, self.claim))

    @property
    def form(self) -> str:
        """The address of the form in Airflow's UI."""
        return form_address(DAGS[self.kind], self.run_id, self.kind)

    @property
    def name(self) -> str:
        """The kind, as the page calls it."""
        return KINDS[self.kind]

    def waits(self, now: datetime) -> str:
        """Return how long the case has waited at the time ``now``."""
        return in_words(now - self.since)


def waiting_cases(store: ObjectStore, buckets: Buckets) -> list[Entry]:
    """Return the cases that wait, those first that have waited longest.

    Objects that are no markers are left out: their keys might name a patient.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    found = (
        (_MARKER.fullmatch(listed.key), listed.modified)
        for listed in store.list(buckets.manifests, WAITING_PREFIX)
    )
    entries = [
        Entry(kind=match[1], case_id=match[2], claim=int(match[3]), since=modified)
        for match, modified in found
        if match
    ]
    return sorted(entries, key=lambda entry: (entry.since, entry.kind, entry.case_id, entry.claim))


async def show(bucket: str, number: int, may_open: Collection[str]) -> HTMLResponse:
    """Return a page of the list.

    Args:
        bucket: the bucket in which the images landed.
        number: of the page, from 1 on; the last one in place of one that is not there.
        may_open: the kinds whose forms the user may open.
    """
    try:
        entries = await asyncio.to_thread(_entries, bucket)
    except XrayError as error:
        return _page(status_of(error), bucket=bucket, problem=str(error))
    open_runs, unknown = await _open_runs() if entries else (set(), "")
    pages = max(1, -(-len(entries) // PER_PAGE))
    number = min(number, pages)
    return _page(
        200,
        bucket=bucket,
        problem="",
        unknown=unknown,
        count=len(entries),
        counts={name: sum(e.kind == kind for e in entries) for kind, name in KINDS.items()},
        entries=entries[(number - 1) * PER_PAGE : number * PER_PAGE],
        open_runs=open_runs,
        may_open=may_open,
        now=datetime.now(UTC),
        number=number,
        pages=pages,
        open_forms=config.open_forms(),
    )


async def open_form(bucket: str, kind: str, case_id: str, claim: int) -> JSONResponse:
    """Open the form of a waiting case, and return its address, or a sentence that says why not."""
    marker = marker_key(kind, case_id, claim)
    try:
        store = await asyncio.to_thread(connections.object_store)
        keyring = await asyncio.to_thread(config.keyring)
        async with await _client() as client:
            await open_on_request(client, store, Buckets(bucket), marker, keyring)
    except (NotFoundError, StaleError):
        sentence = "This case waits no longer: it was answered, or run again."
        return JSONResponse({"detail": sentence}, 404, HEADERS)
    except XrayError as error:
        return JSONResponse({"detail": str(error)}, status_of(error), HEADERS)
    address = form_address(DAGS[kind], form_run_id(marker), kind)
    return JSONResponse({"form": address}, 201, HEADERS)


def _entries(bucket: str) -> list[Entry]:
    return waiting_cases(connections.object_store(), Buckets(bucket))


async def _open_runs() -> tuple[set[str], str]:
    """Return the ids of the forms' runs that have not ended, and why they are not known."""
    try:
        async with await _client() as client:
            found = [await client.run_ids(dag_id, state=ACTIVE_STATES) for dag_id in DAGS.values()]
    except XrayError as error:
        return set(), str(error)
    return {run_id for run_ids in found for run_id in run_ids}, ""


async def _client() -> RunsClient:
    connection = await asyncio.to_thread(BaseHook.get_connection, connections.API_CONNECTION)
    return RunsClient.from_connection(connection)


def _page(status: int, **values: Any) -> HTMLResponse:
    return page("waiting.html", status, **values)
