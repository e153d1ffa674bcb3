"""A person's decision on a quarantined image: its preview, its release and its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from xray import audit
from xray.case.buckets import Buckets
from xray.case.publish import publish_anonymized, superseded
from xray.case.review import PREVIEW_SIDE
from xray.case.steps import anonymous_caption_of
from xray.case.values import Decision, Pinned, Scored
from xray.case.work import Work, clear_quarantine, record, stage
from xray.errors import ObjectError
from xray.storage import ObjectStore

if TYPE_CHECKING:
    from xray.image import Picture
    from xray.redaction import Box

RELEASE = "Release as it is"
MASK = "Mask and release"
WITHHOLD = "Keep in quarantine"
RELEASE_CHOICES = (RELEASE, MASK, WITHHOLD)
"""The choices of the person who is shown a quarantined image."""


def quarantine_preview(store: ObjectStore, buckets: Buckets, case_id: str) -> bytes:
    """Return a quarantined image for a form: a JPEG with rulers that count its pixels.

    Raises:
        ObjectError: the image is no longer in quarantine.
    """
    from xray.image import Format, Picture, draw_rulers, encode

    _, picture = _read_quarantined(store, buckets, case_id)
    return encode(Picture(draw_rulers(picture.eight_bit(), PREVIEW_SIDE), Format.JPEG))


def release(
    work: Work,
    pinned: Pinned,
    scored: Scored,
    *,
    choice: str,
    boxes: Sequence[Box],
    by: str | None,
    at: str,
) -> Decision:
    """Apply and record a person's decision on a quarantined image.

    Args:
        work: the case.
        pinned: the result of *fetch*.
        scored: the result of *classify*, or of the review after it.
        choice: one of :data:`RELEASE_CHOICES`.
        boxes: further regions to remove: left, top, right, bottom in pixels.
        by: the person.
        at: the time of the decision, in ISO 8601.

    Raises:
        ObjectError: the image, or the record of its redaction, is no longer there.
    """
    outputs: list[dict[str, Any]] = []
    decision = Decision.QUARANTINED
    if choice != WITHHOLD:
        if superseded(work, pinned):
            decision = Decision.SUPERSEDED
        else:
            decision = Decision.ANONYMIZED
            outputs = _publish_quarantined(work, pinned, scored, boxes)
    record(
        work,
        audit.RELEASED,
        scored=scored.to_json(),
        decision=decision,
        outputs=outputs,
        release={"choice": choice, "boxes": [list(box) for box in boxes], "by": by, "at": at},
    )
    if decision != Decision.QUARANTINED:
        clear_quarantine(work)
    return decision


def _publish_quarantined(
    work: Work, pinned: Pinned, scored: Scored, boxes: Sequence[Box]
) -> list[dict[str, Any]]:
    """Publish a quarantined image with the ``boxes`` masked, and its certificate."""
    from xray.image import anonymous, print_caption
    from xray.redaction import masked

    suffix, picture = _read_quarantined(work.store, work.buckets, work.case_id)
    picture = anonymous(picture)  # Earlier versions kept depth and colour.
    caption = anonymous_caption_of(scored, work.settings)
    staged = stage(work, "released", picture, print_caption(masked(picture.pixels, boxes), caption))
    key, *_ = work.anonymized_keys(pinned.etag, suffix)
    outputs = publish_anonymized(
        work, key, staged, scored, _recorded_redaction(work), masked=len(boxes)
    )
    work.store.delete(work.buckets.staging, staged.name)
    return outputs


def _recorded_redaction(work: Work) -> dict[str, Any]:
    """Return the result of the redaction after which the image was quarantined."""
    trail = audit.records(work.store, work.buckets.audit, work.case_id)
    found = [earlier["redaction"] for earlier in trail if "redaction" in earlier]
    if not found:
        raise ObjectError(
            f"The record of the quarantine is no longer in {work.buckets.audit}: clear the case's "
            "run."
        )
    result: dict[str, Any] = found[-1]
    return result


def _read_quarantined(store: ObjectStore, buckets: Buckets, case_id: str) -> tuple[str, Picture]:
    """Return the suffix of a quarantined image's key, and the image."""
    from xray.image import ANY_SIZE, decode

    bucket = buckets.quarantine
    for entry in store.list(bucket, f"{case_id}/"):
        content = store.get(bucket, entry.key)
        return PurePosixPath(entry.key).suffix, decode(content.data, limits=ANY_SIZE)
    raise ObjectError(
        f"The image is no longer in {bucket}: the case was run again, or somebody has decided on "
        "it already."
    )
