"""The whole redaction of an image: text is found, removed, and looked for again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from xray.redaction.check import remaining_text
from xray.redaction.fill import filled, outlined
from xray.redaction.find import Finder
from xray.redaction.geometry import Box, Mask, bounding_boxes
from xray.redaction.thresholds import THRESHOLDS
from xray.redaction.views import grey_views

ENGINE = "strokes+PP-OCRv6"
"""The name of this method in audit records and reports."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """A redacted image, and what was removed from it."""

    image: Image.Image
    boxes: tuple[Box, ...]
    """A box around each text that was removed."""
    mask: Mask
    """1 where the image was drawn anew, shape (height, width)."""
    engine: str
    verified: bool
    """Whether the check of the result found no legible text."""
    quarantined: bool
    """Whether the image must not be published."""

    def summary(self) -> dict[str, Any]:
        """Return the part of an audit record that describes the redaction."""
        return {
            "engine": self.engine,
            "regions": len(self.boxes),
            "verified": self.verified,
            "quarantined": self.quarantined,
        }


def redact(
    image: Image.Image,
    depth: int | None = None,
    *,
    keep_markers: bool = True,
    outline: bool = False,
) -> Redaction:
    """Remove the text on ``image``.

    Args:
        image: the picture, in mode L, RGB or I;16. It is not changed.
        depth: in mode I;16, the number of bits in use; None to find it from the values.
        keep_markers: whether a laterality marker that stands alone stays.
        outline: whether a thin line shows where text was removed.
    """
    pixels = np.asarray(image)
    mask = np.zeros(pixels.shape[:2], np.uint8)
    markers = np.zeros_like(mask)
    for view in grey_views(image, depth):
        finder = Finder(view, keep_markers)
        finder.find()
        mask |= finder.mask
        markers |= finder.markers
    result, verified = pixels, False
    for _ in range(THRESHOLDS.rounds):
        result = filled(pixels, mask)
        if mask.mean() > THRESHOLDS.max_masked:
            break
        remaining = remaining_text(Image.fromarray(result), depth, mask, markers)
        if not remaining.any():
            verified = True
            break
        mask |= remaining
    if outline:
        result = outlined(result, mask)
    return Redaction(
        image=Image.fromarray(result),
        boxes=bounding_boxes(mask),
        mask=mask,
        engine=ENGINE,
        verified=verified,
        quarantined=not verified,
    )
