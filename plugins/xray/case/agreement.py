"""Two people for a release: the answer of the first is kept until another person agrees.

The setting ``two_to_release`` asks for it. Both have to make the same choice; the boxes of both are
masked. To keep an image in quarantine takes one person. The manifest holds the first answer, so
that a rerun of the case, which withdraws the request, withdraws the answer as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from xray import audit
from xray.case.manifest import Manifest, Request
from xray.case.work import Work, record

Answer = Mapping[str, Any]
"""``choice``, ``by`` and ``at``, and the ``account`` of the person."""


def first_answer(work: Work, request: Request, choice: str) -> dict[str, Any] | None:
    """Return the answer of another person that an answer with this choice agrees with."""
    waiting = _waiting(work.manifest.read()[0], request)
    return _agreed(waiting, choice) if waiting else None


def is_missing(
    work: Work, request: Request, answer: Answer, boxes: Sequence[Sequence[int]]
) -> bool:
    """Return whether another person has to agree, after this answer was kept for that person.

    Args:
        work: the case.
        request: what the person was asked.
        answer: what the person has answered.
        boxes: the regions that the person wants to be removed.

    Raises:
        ObjectError, TransientError: the store refuses, or cannot answer now.
    """
    waiting = _waiting(work.manifest.read()[0], request)
    if not work.settings.two_to_release or waiting is None or waiting.answered:
        return False  # An answer that is too late is refused later.
    first = _agreed(waiting, answer["choice"])
    if first and first["account"] != answer["account"]:
        return False
    _keep(work, request, {**answer, "boxes": [list(box) for box in boxes]})
    return True


def _keep(work: Work, request: Request, answer: dict[str, Any]) -> None:
    """Record an answer, and keep it for another person."""
    shown = {name: answer[name] for name in ("choice", "by", "at")}
    record(
        work,
        audit.AGREED,
        token=f"{work.token}:agreed:{answer['at']}",
        claim=request.claim,
        request=request.to_record(),
        answer=shown,
    )

    def edit(current: Manifest) -> Manifest:
        waiting = _waiting(current, request)
        if waiting is None or waiting.answered:
            return current
        return replace(current, waiting=replace(waiting, agreed=answer))

    work.manifest.change(edit)


def _agreed(waiting: Request, choice: str) -> dict[str, Any] | None:
    """Return the answer that is kept, if it has this choice."""
    agreed = waiting.agreed
    return agreed if agreed and agreed["choice"] == choice else None


def _waiting(manifest: Manifest, request: Request) -> Request | None:
    """Return what the object waits with, if it is this request."""
    waiting = manifest.waiting
    asked = (request.kind, request.case_id, request.claim)
    return waiting if waiting and (waiting.kind, waiting.case_id, waiting.claim) == asked else None
