"""Requests for a person's decision: asking, answering, and refusing an answer that is too late.

A request is about one picture, as one attempt of a case has made it. Any later
claim on the object withdraws it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from xray import audit
from xray.case.claim import run_of
from xray.case.manifest import Manifest, Request
from xray.case.work import Work, record
from xray.errors import StaleError


def ask(work: Work, request: Request) -> None:
    """Let the case wait for an answer to a request.

    Raises:
        StaleError: a later case of the same object has taken over.
    """
    key = work.source.key.encode("utf-8", "surrogatepass")
    bucket = work.buckets.manifests
    work.store.put(bucket, request.marker, key, content_type="text/plain")

    def edit(current: Manifest) -> Manifest:
        if current.claim != request.claim or current.deleted:
            return current
        if current.waiting and _same(current.waiting, request):
            return current
        return replace(current, waiting=request)

    waiting = work.manifest.change(edit).waiting
    if waiting is None or not _same(waiting, request):
        work.store.delete(bucket, request.marker)
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


def refuse(work: Work, request: Request, answer: dict[str, Any], reason: str) -> None:
    """Record that an answer was refused.

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
    work.store.delete(work.buckets.manifests, request.marker)


def _same(waiting: Request, request: Request) -> bool:
    """Return whether two requests are about the same picture of the same attempt."""
    return replace(waiting, since="", until=None, answered=None) == replace(
        request, since="", until=None, answered=None
    )


def _stale(verb: str) -> str:
    return (
        f"Nothing was {verb}: the case was run again, a newer upload or another case of the same "
        "object has taken over, or somebody has decided already."
    )
