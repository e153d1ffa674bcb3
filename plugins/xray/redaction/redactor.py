"""The whole redaction of an image: text is found, removed, and looked for again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from xray.redaction import ocr, tesseract
from xray.redaction.check import look_again
from xray.redaction.fill import filled, outlined
from xray.redaction.find import Finder
from xray.redaction.geometry import Box, Grey, Mask, bounding_boxes
from xray.redaction.plates import with_plates
from xray.redaction.thresholds import THRESHOLDS
from xray.redaction.views import Magnifier, flattened, stretched

ENGINE = "strokes+PP-OCRv6"
"""The name of the search in audit records and reports."""
CHECK_ENGINE = f"Tesseract {tesseract.MODEL}+zxing-cpp"
"""The name of the check in audit records and reports."""


@dataclass(slots=True)
class Check:
    """What the check of the result did, over all its rounds."""

    engine: str = CHECK_ENGINE
    rounds: int = 0
    read: int = 0
    """The number of candidates that were read."""
    regions: int = 0
    """The number of regions in which it found text that the search had missed."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """A redacted image, and what was removed from it."""

    image: Image.Image
    """The pixels that were inspected, without the text; mode L."""
    boxes: tuple[Box, ...]
    """A box around each text that was removed."""
    mask: Mask
    """1 where the image was drawn anew, shape (height, width)."""
    engine: str
    scale: float
    """The scale at which the image was inspected: a small image is enlarged."""
    check: Check
    verified: bool
    """Whether the check read all its candidates in the result and found no legible text."""

    @property
    def quarantined(self) -> bool:
        """Whether the image must not be published, because it is not verified."""
        return not self.verified

    def summary(self) -> dict[str, Any]:
        """Return the part of an audit record and a certificate that describes the redaction."""
        return {
            "engine": self.engine,
            "scale": round(self.scale, 2),
            "regions": len(self.boxes),
            "check": asdict(self.check),
            "verified": self.verified,
            "quarantined": self.quarantined,
        }


def load_engines() -> None:
    """Load what finds and reads text, for this process and its forks. Otherwise the first image
    that a process redacts does it.
    """
    ocr.load()
    tesseract.load()


def redact(image: Image.Image, *, keep_markers: bool = True, outline: bool = False) -> Redaction:
    """Remove the text on ``image``.

    Args:
        image: the picture, in mode L: what is published has no more depth or colour than what is
            inspected. It is not changed.
        keep_markers: whether a laterality marker that stands alone stays.
        outline: whether a thin line shows where text was removed.

    Raises:
        ValueError: the picture is in another mode.
    """
    if image.mode != "L":
        raise ValueError(f"Only a picture in mode L can be inspected, not one in {image.mode}.")
    pixels = flattened(np.asarray(image))
    magnifier = Magnifier(pixels.shape)
    finder = Finder(stretched(magnifier.enlarge(pixels)), keep_markers)
    finder.find()
    check = Check()
    mask, result, verified = _checked(pixels, magnifier, finder, check)
    return Redaction(
        image=Image.fromarray(outlined(result, mask) if outline else result),
        boxes=bounding_boxes(mask),
        mask=mask,
        engine=ENGINE,
        scale=magnifier.scale,
        check=check,
        verified=verified,
    )


def _checked(
    pixels: Grey, magnifier: Magnifier, finder: Finder, check: Check
) -> tuple[Mask, Grey, bool]:
    """Remove what was found, and look again until nothing is left or the rounds run out.

    Returns:
        The mask of what was removed, the picture without it, and whether the last look read all
        its candidates and found nothing.
    """
    mask, new = finder.mask, None
    markers = magnifier.reduce(finder.markers)
    while True:
        removed = with_plates(pixels, magnifier.reduce(mask), markers)
        result = filled(pixels, removed)
        if removed.mean() > THRESHOLDS.max_masked or check.rounds == THRESHOLDS.rounds:
            return removed, result, False
        look = look_again(stretched(magnifier.enlarge(result)), mask, finder.markers, new)
        check.rounds += 1
        check.read += look.read
        check.regions += len(bounding_boxes(look.mask))
        if not look.mask.any():
            return removed, result, look.is_complete and finder.is_complete
        mask, new = mask | look.mask, look.mask
