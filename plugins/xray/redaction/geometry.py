"""Rectangles, masks, and the part of a picture that a rectangle covers."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from xray.redaction.thresholds import THRESHOLDS

Grey = npt.NDArray[Any]
"""A grey picture: shape (height, width), uint8."""
Mask = npt.NDArray[Any]
"""A mask of the same shape and type: 1 for what it covers, 0 for the rest."""
Rectangle = tuple[tuple[float, float], tuple[float, float], float]
"""A rotated rectangle as cv2.minAreaRect returns it: centre (x, y) and size (width, height) in
pixels, and the angle in degrees."""
Box = tuple[int, int, int, int]
"""An upright box: left, top, right and bottom in pixels; right and bottom are outside."""

_MIN_SIDE = 4
"""Minimum side of a part that :func:`upright` returns, in pixels."""


def bounding_boxes(mask: Mask) -> tuple[Box, ...]:
    """Return the box around each connected part of ``mask``."""
    rows, columns = covered_part(mask)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask[rows, columns])
    boxes = stats[1:, :4] + [columns.start, rows.start, 0, 0]
    return tuple((int(x), int(y), int(x + w), int(y + h)) for x, y, w, h in boxes)


def covered_part(mask: Mask) -> tuple[slice, slice]:
    """Return the rows and the columns that ``mask`` covers, from the first to the last.

    Those of an empty mask are the first ones.
    """
    left, top, width, height = cv2.boundingRect(mask)
    return slice(top, top + max(1, height)), slice(left, left + max(1, width))


def surroundings(left: int, top: int, width: int, height: int, reach: int) -> tuple[slice, slice]:
    """Return the rows and the columns up to ``reach`` pixels around a box."""
    return (
        slice(max(0, top - reach), top + height + reach),
        slice(max(0, left - reach), left + width + reach),
    )


def is_line(width: float, height: float) -> bool:
    """Return whether a rectangle of this size is as long as a line, and too long for a marker."""
    return max(width, height) >= THRESHOLDS.line_ratio * min(width, height)


def lengthwise(rectangle: Rectangle) -> Rectangle:
    """Return the same rectangle with the longer side as its width."""
    centre, (width, height), angle = rectangle
    return (centre, (height, width), angle + 90) if width < height else rectangle


def with_margin(rectangle: Rectangle) -> Rectangle:
    """Return ``rectangle`` grown by the margin that hides the edges of its letters."""
    centre, (width, height), angle = rectangle
    margins = both_margins(min(width, height))
    return centre, (width + margins, height + margins), angle


def without_margin(height: float) -> float:
    """Return the height of a line whose rectangle in a mask, with its margins, has ``height``."""
    ratio = 1 + 2 * THRESHOLDS.margin_share
    return max(THRESHOLDS.min_line_height, height - both_margins(height / ratio))


def both_margins(height: float) -> float:
    """Return the sum of the margins above and below a line of this height, in pixels."""
    share = THRESHOLDS.margin_share * min(height, THRESHOLDS.max_margin_height)
    return 2 * (THRESHOLDS.margin_pixels + share)


def draw_rectangle(mask: Mask, rectangle: Rectangle) -> None:
    """Cover ``rectangle`` and its margin in ``mask``, in place."""
    cover(mask, with_margin(rectangle))


def cover(mask: Mask, rectangle: Rectangle) -> None:
    """Cover ``rectangle`` in ``mask``, in place."""
    corners = cv2.boxPoints(rectangle)
    cv2.fillPoly(mask, [np.rint(corners).astype(np.int32)], 1)


def is_covered(mask: Mask, rectangle: Rectangle, share: float) -> bool:
    """Return whether ``mask`` covers more than this share of ``rectangle``."""
    part = upright(mask, rectangle, 0, stretch=False)
    return bool(part.mean() > share)


def upright(grey: Grey, rectangle: Rectangle, margin: float, *, stretch: bool = True) -> Grey:
    """Cut ``rectangle`` out of ``grey``, rotated so that its longer side is level.

    Args:
        grey: the picture, shape (height, width).
        rectangle: the part to cut out. Outside of the picture, its border is repeated.
        margin: pixels to add on each side.
        stretch: whether the contrast is stretched (:func:`stretch_contrast`).

    Returns:
        The part, shape (height, width) of the rectangle with its margins.
    """
    (x, y), (width, height), angle = lengthwise(rectangle)
    wide, tall = (max(_MIN_SIDE, round(side + 2 * margin)) for side in (width, height))
    radians = np.deg2rad(angle)
    along = np.array([np.cos(radians), np.sin(radians)])
    down = np.array([-along[1], along[0]])
    corner = np.array([x, y]) - along * (wide - 1) / 2 - down * (tall - 1) / 2
    matrix = np.column_stack([along, down, corner])
    part: Any = cv2.warpAffine(
        grey,
        matrix,
        (wide, tall),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return stretch_contrast(part) if stretch else np.asarray(part)


def stretch_contrast(part: Grey) -> Grey:
    """Stretch the grey levels of ``part``, except for outliers, to the whole range of 0 to 255."""
    low, high = np.percentile(part, THRESHOLDS.stretch_percentiles)
    span = max(THRESHOLDS.min_stretch_range, float(high - low))
    stretched = (part.astype(np.float32) - low) * (255 / span)
    result: Grey = stretched.clip(0, 255).astype(np.uint8)
    return result
