"""A person's review of an Unsure case: its request, its pictures and its record."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from xray import audit
from xray.case.claim import claim, own_claim
from xray.case.manifest import REVIEW, Request
from xray.case.pictures import put_pictures
from xray.case.requests import ask, finish, reserve
from xray.case.steps import caption_of
from xray.case.values import Pinned, Scored
from xray.case.work import Work, read_pinned_image, record, recorded
from xray.errors import StaleError
from xray.settings import Label

KEEP = "Keep Unsure"
CHOICES = (Label.NORMAL.value, Label.PNEUMONIA.value, KEEP)
"""The choices of a reviewer."""


def ask_for_review(work: Work, pinned: Pinned, scored: Scored) -> Request:
    """Let a case wait for a review: stage the pictures of the annotated image, and ask.

    A case that is run again after its end claims the object again, as *store* does.

    Raises:
        StaleError: a later case of the same object has taken over.
        ObjectError: the object was deleted or replaced after it was fetched.
        TransientError: the store cannot answer now.
    """
    from xray.image import Format, Picture, print_caption

    own = own_claim(work, claim(work, pinned))
    if own is None:
        raise StaleError("Nothing was asked: another case of the same object has taken over.")
    image = read_pinned_image(work, pinned).eight_bit()
    annotated = Picture(print_caption(image, caption_of(scored)), Format.PNG)
    put_pictures(
        work.store, work.buckets.staging, work.case_id, own.number, annotated, rulers=False
    )
    now = datetime.now(UTC)
    request = Request(
        kind=REVIEW,
        case_id=work.case_id,
        claim=own.number,
        sha256=pinned.sha256,
        since=now.isoformat(),
        until=(now + timedelta(hours=work.settings.review_hours)).isoformat(),
    )
    ask(work, pinned, scored, request)
    return request


def record_review(
    work: Work, scored: Scored, request: Request, *, choice: str, by: str | None, at: str
) -> Scored:
    """Apply and record a person's choice, and return the result with the label chosen.

    Args:
        work: the case.
        scored: the result that the person was shown.
        request: what the person was asked.
        choice: one of :data:`CHOICES`; :data:`KEEP` if nobody answered in time.
        by: the person; None for nobody.
        at: the time of the choice, in ISO 8601.

    Raises:
        StaleError: the request was withdrawn, or has another answer. The refusal is on record.
    """
    label = Label.UNSURE if choice == KEEP else Label(choice)
    review = {"label_before": scored.label, "choice": choice, "by": by, "at": at}
    result = replace(scored, label=label.value, review=review)
    outcome = audit.REVIEWED if by is not None else audit.EXPIRED
    if not recorded(work, outcome):
        reserve(work, request, {"choice": choice, "by": by, "at": at})
        record(
            work,
            outcome,
            claim=request.claim,
            request=request.to_record(),
            scored=result.to_json(),
        )
    finish(work, request)
    return result
