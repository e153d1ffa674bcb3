"""Requests for a person's decision: asking, answering, and refusing an answer that is too late.

A request is about one picture, as one attempt of a case has made it. Any later
claim on the object withdraws it.

The bucket of the manifests is the queue of what waits. For each request it has a
marker: a JSON document at ``waiting/<kind>/<case id>/<claim>`` with everything that
a form needs. A marker whose manifest does not wait with its request is out of date.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NoReturn

from xray import audit
from xray.case.buckets import Buckets
from xray.case.claim import run_of
from xray.case.manifest import (
    RELEASE,
    REVIEW,
    WAITING_PREFIX,
    Manifest,
    ManifestFile,
    Output,
    Request,
)
from xray.case.source import Source
from xray.case.values import Pinned, Scored
from xray.case.work import Work, record, recorded
from xray.errors import StaleError
from xray.storage import ObjectStore

MARKER_SCHEMA = 1
"""The version of the form of a marker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A case that waits for a person, as its marker describes it."""

    source: Source
    pinned: Pinned
    scored: Scored
    request: Request


def release_request(case_id: str, claim: int, image: Output) -> Request:
    """Return the request for a decision on a quarantined image."""
    return Request(
        kind=RELEASE,
        case_id=case_id,
        claim=claim,
        sha256=image.sha256,
        since=datetime.now(UTC).isoformat(),
    )


def put_marker(work: Work, pinned: Pinned, scored: Scored, request: Request) -> None:
    """Write the marker of a request, before the manifest waits with it."""
    document = {
        "schema": MARKER_SCHEMA,
        "source": work.source.to_json(),
        "pinned": pinned.to_json(),
        "scored": scored.to_json(),
        "request": request.to_json(),
    }
    work.store.put(
        work.buckets.manifests,
        request.marker,
        json.dumps(document).encode(),
        content_type="application/json",
    )


def read_marker(store: ObjectStore, buckets: Buckets, marker: str) -> Waiting:
    """Return the case that a marker describes.

    Raises:
        NotFoundError: there is no such marker.
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    values = json.loads(store.get(buckets.manifests, marker).data)
    return Waiting(
        source=Source.from_json(values["source"]),
        pinned=Pinned.from_json(values["pinned"]),
        scored=Scored.from_json(values["scored"]),
        request=Request.from_json(values["request"]),
    )


def waits(store: ObjectStore, buckets: Buckets, waiting: Waiting) -> bool:
    """Return whether the object's manifest waits with the request of a marker."""
    manifest, _ = ManifestFile(store, buckets.manifests, waiting.source.key).read()
    return manifest.waiting is not None and _same(manifest.waiting, waiting.request)


def remove_marker(store: ObjectStore, buckets: Buckets, request: Request) -> None:
    """Remove the marker of a request that is out of date."""
    store.delete(buckets.manifests, request.marker)


def remove_markers(work: Work) -> None:
    """Remove the markers of all requests of a case whose object was deleted."""
    bucket = work.buckets.manifests
    for kind in (REVIEW, RELEASE):
        for entry in list(work.store.list(bucket, f"{WAITING_PREFIX}{kind}/{work.case_id}/")):
            work.store.delete(bucket, entry.key)


def ask(work: Work, pinned: Pinned, scored: Scored, request: Request) -> None:
    """Let the case wait for an answer to a request.

    Raises:
        StaleError: a later case of the same object has taken over.
    """
    put_marker(work, pinned, scored, request)

    def edit(current: Manifest) -> Manifest:
        if current.claim != request.claim or current.deleted:
            return current
        if current.waiting and _same(current.waiting, request):
            return current
        return replace(current, waiting=request)

    waiting = work.manifest.change(edit).waiting
    if waiting is None or not _same(waiting, request):
        remove_marker(work.store, work.buckets, request)
        raise StaleError(_stale("asked"))


def waiting_request(work: Work, kind: str) -> Request | None:
    """Return the request of this kind that the attempt waits with; None if it does not wait."""
    waiting = work.manifest.read()[0].waiting
    mine = waiting and (waiting.kind, waiting.case_id, waiting.claim) == (
        kind,
        work.case_id,
        work.claim,
    )
    return waiting if mine else None


def is_own(work: Work, kind: str) -> bool:
    """Return whether the attempt's request waits for an answer, or has that of this task.

    If not, the case goes on, or has ended, without the form that the task belongs to.
    """
    waiting = waiting_request(work, kind)
    if waiting:
        return waiting.answered in (None, work.token)
    return recorded(work, audit.REVIEWED, audit.EXPIRED, audit.RELEASED) is not None


def reserve(
    work: Work,
    request: Request,
    answer: dict[str, Any],
    edit: Callable[[Manifest], Manifest] = lambda current: current,
) -> Manifest:
    """Reserve a request for the one answer that is carried out, and return the manifest.

    Args:
        work: the case.
        request: what the person was asked.
        answer: ``choice``, ``by`` and ``at``, for the audit trail.
        edit: a further change of the manifest, made together with the reservation.

    Raises:
        StaleError: the request was withdrawn, or it has another answer. The refusal is on record.
    """

    def reserving(current: Manifest) -> Manifest:
        waiting = current.waiting
        if waiting is None or not _same(waiting, request) or current.deleted:
            return current
        if waiting.answered == work.token:
            return current
        # The tasks of a run follow each other: an earlier attempt of this one was cleared.
        if waiting.answered and run_of(waiting.answered) != run_of(work.token):
            return current
        return edit(replace(current, waiting=replace(waiting, answered=work.token)))

    manifest = work.manifest.change(reserving)
    if manifest.waiting is None or manifest.waiting.answered != work.token:
        refuse(work, request, answer, _stale("answered"))
    return manifest


def refuse(
    work: Work, request: Request, answer: dict[str, Any], reason: str, **facts: Any
) -> NoReturn:
    """Record that an answer was refused, with further fields of the record.

    Raises:
        StaleError: always, with the reason.
    """
    record(
        work,
        audit.REFUSED,
        claim=request.claim,
        request=request.to_record(),
        answer=answer,
        error=reason,
        **facts,
    )
    raise StaleError(reason)


def finish(
    work: Work,
    request: Request,
    edit: Callable[[Manifest], Manifest] = lambda current: current,
) -> None:
    """End a request whose answer was carried out and recorded.

    Args:
        work: the case.
        request: what the person was asked.
        edit: a further change of the manifest, made together with the end of the request.
    """

    def finishing(current: Manifest) -> Manifest:
        mine = current.waiting and current.waiting.answered == work.token
        return edit(replace(current, waiting=None)) if mine else current

    work.manifest.change(finishing)
    remove_marker(work.store, work.buckets, request)


def _same(waiting: Request, request: Request) -> bool:
    """Return whether two requests are about the same picture of the same attempt."""
    asked: dict[str, Any] = {"since": "", "until": None, "answered": None, "agreed": None}
    return replace(waiting, **asked) == replace(request, **asked)


def _stale(verb: str) -> str:
    return (
        f"Nothing was {verb}: the case was run again, a newer upload or another case of the same "
        "object has taken over, or somebody has decided already."
    )
