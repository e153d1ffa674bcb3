"""The check of a redacted image: text that is still on it.

The detector looks at the result with equalized contrast, which the search does not do, and the
reader decides about everything that the detector finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from xray.redaction import ocr
from xray.redaction.fill import filled
from xray.redaction.find import is_certain, is_legible, strong_clusters
from xray.redaction.geometry import (
    Grey,
    Mask,
    Rectangle,
    draw_rectangle,
    is_covered,
    is_line,
    lengthwise,
    without_margin,
)
from xray.redaction.thresholds import THRESHOLDS
from xray.redaction.views import grey_views


def remaining_text(image: Image.Image, depth: int | None, removed: Mask, markers: Mask) -> Mask:
    """Return a mask of the text that is still legible on a redacted image.

    Args:
        image: the redacted image, in mode L, RGB or I;16.
        depth: in mode I;16, the number of bits in use; None to find it from the values.
        removed: 1 where text was removed already. What the detector finds there is ignored.
        markers: 1 where a marker stays. The check does not see them.
    """
    mask = np.zeros(removed.shape, np.uint8)
    extensions = list(line_extensions(removed))
    for whole in grey_views(image, depth):
        view = filled(whole, markers)
        for extension in extensions:
            if is_legible(view, extension):
                draw_rectangle(mask, extension)
        likely = ocr.likely_text(equalize_contrast(view), THRESHOLDS.check_likelihood)
        rectangles = [rectangle for rectangle, _ in likely]
        rectangles += [c.rectangle for c in strong_clusters(view) if is_certain(c)]
        remaining = THRESHOLDS.max_read
        for rectangle in rectangles:
            if (
                remaining
                and not is_covered(removed, rectangle, THRESHOLDS.check_covered)
                and min(rectangle[1]) >= THRESHOLDS.min_line_height
            ):
                remaining -= 1
                if is_legible(view, rectangle):
                    draw_rectangle(mask, rectangle)
    return mask


def line_extensions(mask: Mask) -> Iterator[Rectangle]:
    """Yield the rectangles beyond both ends of each line of text that ``mask`` covers.

    Where the background gets brighter, the rest of a line may be too faint to be found by itself.
    A rectangle whose centre is outside of the image is left out.
    """
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for outline in outlines:
        rectangle: Any = cv2.minAreaRect(outline)
        (x, y), (width, height), angle = lengthwise(rectangle)
        if not is_line(width, height):
            continue
        height = without_margin(height)
        length = THRESHOLDS.extension_length * height
        along = np.array([np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))])
        for end in (-1, 1):
            centre = np.array([x, y]) + end * along * (width + length) / 2
            if 0 <= centre[0] < mask.shape[1] and 0 <= centre[1] < mask.shape[0]:
                yield (float(centre[0]), float(centre[1])), (length, height), angle


def equalize_contrast(grey: Grey) -> Grey:
    """Return ``grey`` with the same contrast everywhere, so that faint text becomes visible.

    Each pixel's difference to the local mean is divided by the local standard deviation.
    """
    values = grey.astype(np.float32)
    difference = values - _smooth(values, THRESHOLDS.equalize_mean_side)
    # cv2.blur keeps running sums: rounding can make a mean of squares slightly negative.
    variance = np.maximum(_smooth(difference * difference, THRESHOLDS.equalize_deviation_side), 0)
    deviation = np.sqrt(variance) + THRESHOLDS.equalize_noise
    equalized = THRESHOLDS.equalize_middle + difference / deviation * THRESHOLDS.equalize_contrast
    result: Grey = equalized.clip(0, 255).astype(np.uint8)
    return result


def _smooth(values: npt.NDArray[np.float32], side: int) -> Any:
    """Average twice over a square of this ``side`` in pixels.

    The result is close to a Gaussian with a standard deviation of 0.41 times the side, and costs
    the same at every width.
    """
    return cv2.blur(cv2.blur(values, (side, side)), (side, side))
