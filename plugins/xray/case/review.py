"""A person's review of an Unsure case: its preview and its record."""

from __future__ import annotations

from dataclasses import replace

from xray import audit
from xray.case.steps import caption_of
from xray.case.values import Pinned, Scored
from xray.case.work import Work, read_pinned_image, record
from xray.settings import Label

KEEP = "Keep Unsure"
CHOICES = (Label.NORMAL.value, Label.PNEUMONIA.value, KEEP)
"""The choices of a reviewer."""
PREVIEW_SIDE = 1200
"""The most pixels of a preview's longer side."""


def stage_preview(work: Work, pinned: Pinned, scored: Scored) -> None:
    """Stage the annotated image in a form and size that every browser shows."""
    from xray.image import Format, Picture, encode, print_caption

    image = read_pinned_image(work, pinned).eight_bit()
    image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
    preview = Picture(print_caption(image, caption_of(scored)), Format.JPEG)
    work.store.put(
        work.buckets.staging,
        preview_key(work.case_id),
        encode(preview),
        content_type=Format.JPEG.content_type,
    )


def preview_key(case_id: str) -> str:
    """Return the key of a case's preview in the staging bucket."""
    return f"{case_id}/preview.jpeg"


def record_review(work: Work, scored: Scored, *, choice: str, by: str | None, at: str) -> Scored:
    """Apply and record a person's choice, and return the result with the label chosen.

    Args:
        work: the case.
        scored: the result that the person was shown.
        choice: one of :data:`CHOICES`; :data:`KEEP` if nobody answered in time.
        by: the person; None for nobody.
        at: the time of the choice, in ISO 8601.
    """
    label = Label.UNSURE if choice == KEEP else Label(choice)
    review = {"label_before": scored.label, "choice": choice, "by": by, "at": at}
    result = replace(scored, label=label.value, review=review)
    record(work, audit.REVIEWED, scored=result.to_json())
    return result
