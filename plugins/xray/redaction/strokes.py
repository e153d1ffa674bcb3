"""Text by its strokes: thin, sharp, close together, and lighter or darker than all around.

What was burned into an X-ray stands out from it as anatomy does not: the
difference to the picture's own opening or closing (a morphological top hat or
black hat) is several times that of ribs and vessels. That holds at every angle
and in every script, where networks that learned from documents look for lines
that are level. Large text is found in the reduced picture, where its strokes
are thin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

SCALES = (1.0, 0.5, 0.25)
HAT = 9
"""Pixels; strokes up to this width stand out."""
AROUND = 61
"""Pixels of a side over which the ground's own unrest is averaged."""
CALM = 40
"""Grey levels; what stands out by more counts as this for the unrest."""
REACHES = {3: 4, 6: 8, 11: 16}
"""Pixels by which marks are grown to meet their neighbours, for small, middle and large letters;
and the least longer side of those. Growing smaller ones as much would tie lines to tissue."""

Grey = npt.NDArray[Any]
"""Shape (height, width), uint8."""
Mask = npt.NDArray[Any]
"""The same, 1 for what it covers and 0 for what it does not."""
Rectangle = tuple[tuple[float, float], tuple[float, float], float]
"""Centre, size and angle in degrees, as cv2.minAreaRect has them."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Marks that stand together like letters."""

    rectangle: Rectangle
    """Around them, in the whole image's pixels."""
    marks: int
    contrast: float
    """Mean grey levels by which they stand out."""
    unrest: float
    """Mean grey levels by which anything here stands out."""
    height: float
    """Pixels of a mark's longer side; their mean."""
    evenness: float
    """How alike the marks' sizes are: their standard deviation as a share of the mean."""
    scale: float
    """Of the picture that it was found in, 1 for the whole one."""


def clusters(grey: Grey, *, floor: float, multiple: float) -> list[Cluster]:
    """What stands together like letters in ``grey``.

    Args:
        grey: the picture, shape (height, width).
        floor: grey levels that a mark stands out by, at least.
        multiple: of the unrest around that it stands out by, at least.
    """
    found: list[Cluster] = []
    for scale in SCALES:
        size = round(grey.shape[1] * scale), round(grey.shape[0] * scale)
        if min(size) < HAT:
            break
        small = grey if scale == 1 else cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        for hat in hats(small):
            found.extend(_clusters(hat, 1 / scale, floor, multiple))
    return found


def hats(grey: Grey) -> tuple[Grey, Grey]:
    """By how much each pixel is lighter, and darker, than what is wider than a stroke there."""
    box = cv2.getStructuringElement(cv2.MORPH_RECT, (HAT, HAT))
    # The border is no edge: a letter that it cuts stands out all the same.
    return (
        cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, box),
        cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, box),
    )


@dataclass(frozen=True, slots=True)
class _Marks:
    """Connected pixels that stand out; everything per mark but the pixels. Mark 0 is none."""

    rows: npt.NDArray[Any]
    columns: npt.NDArray[Any]
    owner: npt.NDArray[Any]
    """Of each pixel, its mark."""
    longer: npt.NDArray[Any]
    """Pixels of the longer side."""
    contrast: npt.NDArray[Any]
    unrest: npt.NDArray[Any]
    like_letters: npt.NDArray[Any]
    """Whether its shape could be a letter's."""


def _marks(hat: Grey, floor: float, multiple: float) -> _Marks:
    around = cv2.boxFilter(np.minimum(hat, CALM).astype(np.float32), -1, (AROUND, AROUND))
    marked = (hat > np.maximum(floor, multiple * around + 2)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(marked, connectivity=8)
    rows, columns = np.nonzero(marked)
    owner = labels[rows, columns]
    area = np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    wide, tall = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    longer = np.maximum(wide, tall)
    like_letters = (area >= 6) & (longer >= 4) & (longer <= 70) & (area >= 0.06 * wide * tall)
    like_letters[0] = False
    return _Marks(
        rows,
        columns,
        owner,
        longer,
        np.bincount(owner, hat[rows, columns], count) / area,
        np.bincount(owner, around[rows, columns], count) / area,
        like_letters,
    )


def _clusters(hat: Grey, scale: float, floor: float, multiple: float) -> Iterator[Cluster]:
    """The clusters of one hat, in a picture of which each pixel is ``scale`` of the whole's."""
    marks = _marks(hat, floor, multiple)
    for reach, least in REACHES.items():
        chosen = marks.like_letters & (marks.longer <= reach * 7) & (marks.longer >= least)
        outlines, group = _neighbours(marks, chosen, hat.shape, reach)
        members = np.flatnonzero(chosen)
        owner = group[members]
        count = np.bincount(owner, minlength=len(outlines))
        longer = marks.longer[members].astype(float)
        height, square, contrast, unrest = (
            np.bincount(owner, of, len(count)) / np.maximum(count, 1)
            for of in (longer, longer**2, marks.contrast[members], marks.unrest[members])
        )
        spread = np.sqrt(np.maximum(square - height**2, 0))
        for number in np.flatnonzero(count).tolist():
            yield Cluster(
                _scaled(cv2.minAreaRect(outlines[number]), reach, scale),
                int(count[number]),
                float(contrast[number]),
                float(unrest[number]),
                float(height[number]) * scale,
                float(spread[number] / height[number]),
                1 / scale,
            )


def _neighbours(
    marks: _Marks, chosen: npt.NDArray[Any], shape: tuple[int, ...], reach: int
) -> tuple[Sequence[npt.NDArray[Any]], npt.NDArray[Any]]:
    """The outlines of ``chosen`` marks that meet when each is grown by ``reach``, and of each mark
    which outline it is in."""
    taken = chosen[marks.owner]
    canvas = np.zeros(shape, np.uint8)
    canvas[marks.rows[taken], marks.columns[taken]] = 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    outlines, _ = cv2.findContours(
        cv2.dilate(canvas, disc), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    where = np.zeros(shape, np.int32)
    for number in range(len(outlines)):
        cv2.drawContours(where, outlines, number, number, -1)
    group = np.zeros(len(chosen), np.int32)
    group[marks.owner[taken]] = where[marks.rows[taken], marks.columns[taken]]
    return outlines, group


def _scaled(rectangle: Any, grown: int, scale: float) -> Rectangle:
    """A ``rectangle`` around marks that were grown, in the whole picture's pixels."""
    (x, y), (width, height), angle = rectangle
    centre = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
    size = tuple(max(1.0, side - 2 * grown + 1) * scale for side in (width, height))
    return centre, (size[0], size[1]), angle


def lying(rectangle: Rectangle) -> Rectangle:
    """The same, told with its longer side as the width."""
    centre, (width, height), angle = rectangle
    return (centre, (height, width), angle + 90) if width < height else rectangle


def upright(grey: Grey, rectangle: Rectangle, margin: float, *, stretch: bool = True) -> Grey:
    """What stands in ``rectangle``, with its longer side level and its contrast stretched."""
    (x, y), (width, height), angle = lying(rectangle)
    wide, tall = max(4, round(width + 2 * margin)), max(4, round(height + 2 * margin))
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
    return stretched(part) if stretch else np.asarray(part)


def stretched(part: Grey) -> Grey:
    """``part`` with its greys, but for odd ones, drawn out to all of 0 to 255."""
    low, high = np.percentile(part, (1, 99))
    drawn_out = (part.astype(np.float32) - low) * (255 / max(8.0, float(high - low)))
    result: Grey = drawn_out.clip(0, 255).astype(np.uint8)
    return result
