"""The picture in which text is looked for: flattened, enlarged if it is small, and stretched."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from xray.redaction.geometry import Grey, Mask
from xray.redaction.thresholds import THRESHOLDS


def flattened(grey: Grey) -> Grey:
    """Return ``grey`` without the structures that are too faint to be inspected.

    Where every structure in the neighbourhood has a contrast of at most ``flat_contrast`` grey
    levels, structures that are narrower than ``flat_width`` are removed by a morphological opening
    and closing. No pixel changes by more than ``flat_contrast``, and slopes stay as they are. In
    noise and in stronger structures, the picture stays as it is: the search looks for faint text
    there.

    Args:
        grey: the picture, shape (height, width), uint8.
    """
    side = THRESHOLDS.flat_width
    box = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    opened = cv2.morphologyEx(grey, cv2.MORPH_OPEN, box)
    closed = cv2.morphologyEx(grey, cv2.MORPH_CLOSE, box)
    busy = cv2.dilate(closed - opened, box) > THRESHOLDS.flat_contrast
    # Light text vanishes if the opening comes first, dark text if the closing does; the other order
    # leaves a blot, which differs more from the wider surroundings.
    without_light = cv2.morphologyEx(opened, cv2.MORPH_CLOSE, box)
    without_dark = cv2.morphologyEx(closed, cv2.MORPH_OPEN, box)
    around = cv2.blur(grey, (THRESHOLDS.flat_surroundings,) * 2)
    is_light = cv2.absdiff(without_light, around) <= cv2.absdiff(without_dark, around)
    result: Grey = np.where(busy, grey, np.where(is_light, without_light, without_dark))
    return result


class Magnifier:
    """Enlarges a small picture so that small type can be found, and reduces the masks found.

    Args:
        shape: height and width of the picture, in pixels.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        height, width = shape
        side = min(height, width)
        self.scale = 1.0
        """Pixels of the enlarged picture for each pixel of the picture."""
        if side < THRESHOLDS.small_side:
            self.scale = min(THRESHOLDS.max_enlargement, THRESHOLDS.enlarged_side / side)
        self._small = width, height
        self._large = round(width * self.scale), round(height * self.scale)

    def enlarge(self, grey: Grey) -> Grey:
        """Return the picture in which text is looked for."""
        if self.scale == 1:
            return grey
        return cv2.resize(grey, self._large, interpolation=cv2.INTER_CUBIC)

    def reduce(self, mask: Mask) -> Mask:
        """Return the mask of each pixel of the picture of which any part is masked."""
        if self.scale == 1:
            return mask
        share = cv2.resize(mask.astype(np.float32), self._small, interpolation=cv2.INTER_AREA)
        return (share > 0).astype(np.uint8)


def stretched(grey: Grey) -> Grey:
    """Return ``grey`` with its grey levels stretched to the whole range of 0 to 255."""
    low, high = int(grey.min()), int(grey.max())
    if high - low in (0, 255):
        return grey
    levels = np.arange(256, dtype=np.float32).clip(low, high)
    table = np.rint((levels - low) * (255 / (high - low))).astype(np.uint8)
    return np.asarray(cv2.LUT(grey, table))


def equalize_contrast(grey: Grey) -> Grey:
    """Return ``grey`` with the same contrast everywhere, so that faint text becomes visible.

    Each pixel's difference to the middle of the picture's morphological opening and closing is
    divided by the local standard deviation of such differences. Unlike a local mean, the opening
    and the closing follow the edges of anatomy, so that an edge does not hide the text beside it.
    """
    side = THRESHOLDS.equalize_width
    box = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    difference = grey.astype(np.float32)
    for operation in (cv2.MORPH_OPEN, cv2.MORPH_CLOSE):
        difference -= cv2.morphologyEx(grey, operation, box) * np.float32(0.5)
    most = THRESHOLDS.equalize_most
    deviation = difference.clip(-most, most)
    # Averaging twice over a square is close to a Gaussian, and costs the same at every width.
    square = THRESHOLDS.equalize_side, THRESHOLDS.equalize_side
    deviation = cv2.blur(cv2.blur(deviation * deviation, square), square)
    # cv2.blur keeps running sums: rounding can make a mean of squares slightly negative.
    deviation = np.sqrt(np.maximum(deviation, 0)) + THRESHOLDS.equalize_noise
    # In place: each copy of a large picture takes tens of megabytes.
    difference /= deviation
    difference *= THRESHOLDS.equalize_contrast
    difference += THRESHOLDS.equalize_middle
    return np.clip(difference, 0, 255, out=difference).astype(np.uint8)


def even_line(part: Grey) -> Grey:
    """Return a level line of text with the same contrast everywhere.

    Otherwise a line that runs from a dark part of the picture to a bright one has little contrast.

    Args:
        part: the line with its margin, shape (height, width).
    """
    height, width = part.shape
    values: Any = part.astype(np.float32)
    scale = THRESHOLDS.even_line_height / height
    if scale < 1:  # To reduce the line averages noise, which would hide faint text.
        size = max(1, round(width * scale)), THRESHOLDS.even_line_height
        values = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    side = values.shape[0] | 1
    difference = values - cv2.blur(values, (side, side))
    variance = np.maximum(cv2.blur(difference * difference, (side, side)), 0)
    deviation = np.sqrt(variance) + THRESHOLDS.line_noise
    even = THRESHOLDS.equalize_middle + difference / deviation * THRESHOLDS.line_contrast
    result: Grey = even.clip(0, 255).astype(np.uint8)
    return result
