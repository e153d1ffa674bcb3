"""The end of a case that failed for good: the reason, its record, and the removal of leftovers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from xray import audit
from xray.case.publish import withdraw
from xray.case.values import Pinned
from xray.case.work import Work, clear_stage, record
from xray.errors import PermanentError, SettingsError, XrayError

PUBLISHING_TASK = "store"
"""The id of the one task that publishes."""


def abandon(work: Work, error: BaseException | None, pinned: Pinned | None) -> str:
    """Record why a case failed, and remove everything that is half done.

    Args:
        work: the case.
        error: the failure; None if the worker died, or if the end was recorded before.
        pinned: the result of *fetch*; None if the case failed before it.

    Returns:
        The reason that is on record, in one sentence that names no patient.
    """
    reason, kind = describe(error)
    facts: dict[str, Any] = {"pinned": pinned.to_record()} if pinned else {}
    if isinstance(error, SettingsError):
        facts["settings"] = None
    # A token of this one try: the first reason that is recorded for a try stays.
    facts["token"] = f"{work.run.task}, try {work.run.try_number}"
    with ExitStack() as whatever_fails:
        if pinned and work.run.task == PUBLISHING_TASK:
            whatever_fails.callback(withdraw, work, pinned)
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
