"""A person's decision on a quarantined image: its preview, its release and its record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from xray import audit
from xray.case.buckets import Buckets
from xray.case.publish import anonymous_metadata, publish, superseded
from xray.case.review import PREVIEW_SIDE
from xray.case.steps import caption_of
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
        ObjectError: the image is no longer in quarantine.
    """
    outputs: list[dict[str, Any]] = []
    decision = Decision.QUARANTINED
    if choice != WITHHOLD:
        if superseded(work, pinned):
            decision = Decision.SUPERSEDED
        else:
            decision = Decision.ANONYMIZED
            outputs = [_publish_quarantined(work, pinned, scored, boxes)]
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
) -> dict[str, Any]:
    """Publish a quarantined image with the ``boxes`` masked."""
    from xray.image import print_caption
    from xray.redaction import masked

    suffix, picture = _read_quarantined(work.store, work.buckets, work.case_id)
    drawn = print_caption(masked(picture.pixels, boxes), caption_of(scored), picture.depth)
    staged = stage(work, "released", picture, drawn)
    key, *_ = work.anonymized_keys(pinned.etag, suffix)
    output = publish(work, work.buckets.anonymized, key, staged, anonymous_metadata(scored))
    work.store.delete(work.buckets.staging, staged.name)
    return output


def _read_quarantined(store: ObjectStore, buckets: Buckets, case_id: str) -> tuple[str, Picture]:
    """Return the suffix of a quarantined image's key, and the image."""
    from xray.image import Limits, decode

    bucket = buckets.quarantine
    for entry in store.list(bucket, f"{case_id}/"):
        content = store.get(bucket, entry.key)
        # The image was checked against the case's limits before it was quarantined.
        return PurePosixPath(entry.key).suffix, decode(content.data, limits=Limits(2**40, 2**40))
    raise ObjectError(
        f"The image is no longer in {bucket}: the case was run again, or somebody has decided on "
        "it already."
    )
