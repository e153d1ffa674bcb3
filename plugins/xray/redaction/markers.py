"""Laterality markers: words such as L and R that may stay, because they identify nobody."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from xray.redaction import ocr
from xray.redaction.geometry import Box, Grey, Mask, is_line, stretch_contrast
from xray.redaction.thresholds import THRESHOLDS

MARKERS = frozenset(
    ["L", "R", "LEFT", "RIGHT", "AP", "PA", "A-P", "P-A", "LAT", "LL", "RL", "ERECT", "SUPINE"]
)
"""Words that may stand alone on an X-ray: sides, views and positions."""


def is_compact(width: int, height: int) -> bool:
    """Return whether a text of this size in pixels could be a marker by its shape."""
    return not is_line(width, height) and min(width, height) > THRESHOLDS.min_marker_side


def has_text_beside(stats: Any, number: int) -> bool:
    """Return whether other text stands beside component ``number``, on the same line.

    Args:
        stats: the components' statistics from cv2.connectedComponentsWithStats.
        number: the number of a component, from 1.
    """
    left, top, width, height, _ = (int(n) for n in stats[number])
    for other in range(1, len(stats)):
        if other == number:
            continue
        x, y, w, h, _ = (int(n) for n in stats[other])
        overlap = min(y + h, top + height) - max(y, top)
        gap = max(x - (left + width), left - (x + w))
        if (
            overlap > THRESHOLDS.company_overlap * min(h, height)
            and gap < THRESHOLDS.company_gap * height
            and h > THRESHOLDS.company_height * height
        ):
            return True
    return False


def marker_letters(part: Grey) -> Mask:
    """Return a mask of the marker's letters in ``part``, with their shadow.

    A marker may have several rows, such as A-P above R. If any row has other text, the mask is
    empty.
    """
    light = _light_marker_letters(part)
    return light if light.any() else _light_marker_letters(255 - part)


def _light_marker_letters(part: Grey) -> Mask:
    """Return the mask for a marker that is lighter than its background."""
    letters, rows = tall_letters(part)
    for left, top, right, bottom in rows:
        margin = (bottom - top) // THRESHOLDS.marker_margin_divisor
        x, y = max(0, left - margin), max(0, top - margin)
        if not is_marker(part[y : bottom + margin, x : right + margin]):
            return np.zeros_like(letters)
    shadows = (round(THRESHOLDS.marker_shadow * (bottom - top)) for _, top, _, bottom in rows)
    reach = max([THRESHOLDS.min_marker_shadow, *shadows])
    return cv2.dilate(letters, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))


def is_marker(part: Grey) -> bool:
    """Return whether the text in ``part`` of the picture is a marker and nothing else.

    The part is read in all four directions, because a name that lies on its side may be read as
    an l. If the text is longer in another direction, it is no marker.
    """
    readings = [ocr.recognize(stretch_contrast(np.rot90(part, turns))) for turns in range(4)]
    texts = [
        reading.text.strip(" .-")
        for reading in readings
        if reading.confidence > THRESHOLDS.marker_confidence
    ]
    marker = max((text for text in texts if text.upper() in MARKERS), key=len, default="")
    most = ocr.letter_count(marker)
    return bool(marker) and all(ocr.letter_count(text) <= most for text in texts)


def tall_letters(part: Grey) -> tuple[Mask, list[Box]]:
    """Find the tall letters among the lightest pixels of ``part``.

    Returns:
        A mask of these letters and of the dashes between them, and for each row of letters the box
        around them.
    """
    middle = int(np.median(part))
    least = middle + THRESHOLDS.marker_ink * (int(part.max()) - middle)
    ink = (part > least).astype(np.uint8)
    letters, rows = np.zeros_like(ink), []
    edges = np.flatnonzero(np.diff(np.pad(ink.any(axis=1), 1).astype(np.int8))).tolist()
    for top, bottom in zip(edges[::2], edges[1::2], strict=True):
        row_height = bottom - top
        _, labels, stats, _ = cv2.connectedComponentsWithStats(ink[top:bottom])
        height, width = stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_WIDTH]
        least_height = max(THRESHOLDS.min_marker_side, THRESHOLDS.tall_letter * row_height)
        is_tall = height >= least_height
        is_low = height < THRESHOLDS.dash_height * row_height
        is_dash = is_low & (width > THRESHOLDS.dash_ratio * height)
        is_tall[0] = is_dash[0] = False
        if is_tall.any():
            letters[top:bottom] = (is_tall | is_dash)[labels]
            columns = np.flatnonzero(is_tall[labels].any(axis=0)).tolist()
            rows.append((columns[0], top, columns[-1] + 1, bottom))
    return letters, rows
