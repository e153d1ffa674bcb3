"""The end of a case that failed for good: the reason, its record, and the removal of leftovers."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from xray import audit
from xray.case import converge
from xray.case.claim import last_claim, run_of, superseded, upload_of, without_request
from xray.case.manifest import Manifest
from xray.case.values import Pinned
from xray.case.work import Work, clear_stage, record
from xray.errors import PermanentError, SettingsError, XrayError


def abandon(work: Work, error: BaseException | None, pinned: Pinned | None) -> str:
    """Record why a case failed, and remove everything that is half done.

    The outputs of an earlier attempt stay, unless they show an upload that is no longer present or
    the failed attempt has damaged them.

    Args:
        work: the case.
        error: the failure; None if the worker died, or if the end was recorded before.
        pinned: the result of *fetch*; None if the case failed before it.

    Returns:
        The reason that is on record, in one sentence that names no patient.
    """
    reason, kind = describe(error)
    facts: dict[str, Any] = {"pinned": pinned.to_record()} if pinned else {}
    if isinstance(error, XrayError):
        facts |= error.facts
    if isinstance(error, SettingsError):
        facts["settings"] = None
    # A token of this one try: the first reason that is recorded for a try stays.
    facts["token"] = f"{run_of(work.token)}:{work.run.task}:try {work.run.try_number}"
    with ExitStack() as whatever_fails:
        whatever_fails.callback(end_claim, work)
        if pinned is None:
            whatever_fails.callback(_withdraw_superseded, work)
        whatever_fails.callback(clear_stage, work)
        written = record(work, audit.FAILED, error=reason, kind=kind, **facts)
    return str(written["error"])


def describe(error: BaseException | None) -> tuple[str, str]:
    """Return a failure's reason, in one sentence that names no patient, and its kind."""
    if isinstance(error, XrayError):
        return str(error), "permanent" if isinstance(error, PermanentError) else "passing"
    if error is None:
        return (
            "The worker died, or the machine that it ran on: clear the task to run it again.",
            "unexpected",
        )
    # The error's own message may quote the object key; its type cannot.
    return f"Unexpected {type(error).__name__}: see the task's log.", "unexpected"


def end_claim(work: Work) -> None:
    """End the claim of an attempt that has failed, or that nobody will ever end.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    converge.end_claim(work, last_claim(work, work.manifest.read()[0]))


def _withdraw_superseded(work: Work) -> None:
    """Withdraw the outputs of an earlier upload if the failed case is about the present one.

    The case has failed in *fetch*: its upload may be no image, for example.
    """
    head = work.store.head(work.source.bucket, work.source.key)
    if head is None:
        return
    upload = upload_of(work.source.found(head.version_id, head.etag), None)

    def edit(current: Manifest) -> Manifest:
        known = current.upload
        if known is None or superseded(work, upload, current):
            return current
        if (known.version_id, known.etag) == (upload.version_id, upload.etag):
            return current
        return replace(
            without_request(current).with_outputs((), None),
            claim=current.claim + 1,
            case_id=work.case_id,
            upload=upload,
        )

    work.manifest.change(edit)
