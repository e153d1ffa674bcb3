"""Text by its strokes: thin, sharp, close together, and lighter or darker than its surroundings.

Burned-in text stands out from an X-ray more than anatomy does: its difference to the picture's
morphological opening or closing (the top hat or the black hat) is several times that of ribs and
vessels. This holds at every angle and in every script, whereas networks that were trained on
documents look for level lines. Large text is found in a reduced picture, in which its strokes are
thin.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from xray.redaction.geometry import Grey, Mask, Rectangle, covered_part
from xray.redaction.thresholds import THRESHOLDS

_STRIP = 256
"""Rows of a picture that are processed at once where copies of it are needed."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Marks that stand together as letters do. Lengths are in pixels of the full picture."""

    rectangle: Rectangle
    """The rectangle around the marks."""
    marks: int
    """The number of marks."""
    contrast: float
    """Mean grey levels by which the marks stand out."""
    background: float
    """Mean grey levels by which everything around the marks stands out."""
    mark_height: float
    """The mean of the marks' longer sides, in pixels."""
    unevenness: float
    """Standard deviation of the marks' longer sides as a share of their mean; 0 if they are equally
    large."""
    scale: float
    """The scale of the picture in which the cluster was found, 1 for the full one."""


def clusters(grey: Grey, *, min_contrast: float, min_ratio: float) -> list[Cluster]:
    """Find the marks in ``grey`` that stand together as letters do, at all scales.

    Args:
        grey: the picture, shape (height, width).
        min_contrast: minimum contrast of a mark, in grey levels.
        min_ratio: minimum contrast of a mark, as a multiple of the background's.
    """
    return [
        cluster
        for scale, hat in scaled_hats(grey)
        for cluster in _clusters(hat, 1 / scale, min_contrast, min_ratio)
    ]


def scaled_hats(grey: Grey) -> Iterator[tuple[float, Grey]]:
    """Yield both hats (:func:`hats`) of ``grey`` at each scale, with the scale."""
    for scale in THRESHOLDS.scales:
        size = round(grey.shape[1] * scale), round(grey.shape[0] * scale)
        if min(size) < THRESHOLDS.stroke_width:
            break
        small = grey if scale == 1 else cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        for hat in hats(small):
            yield scale, hat


def hats(grey: Grey) -> tuple[Grey, Grey]:
    """Return the top hat and the black hat of ``grey``.

    They show by how many grey levels each pixel is lighter, or darker, than the wider structures
    around it. The picture's border is not an edge: a letter that it cuts stands out too.

    Returns:
        Two arrays of the same shape and type as ``grey``.
    """
    side = THRESHOLDS.stroke_width
    box = cv2.getStructuringElement(cv2.MORPH_RECT, (side, side))
    return (
        cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, box),
        cv2.morphologyEx(grey, cv2.MORPH_BLACKHAT, box),
    )


@dataclass(frozen=True, slots=True)
class _Marks:
    """Connected pixels that stand out. Mark 0 is the background."""

    rows: npt.NDArray[Any]
    """The row of each pixel that stands out."""
    columns: npt.NDArray[Any]
    """The column of each of these pixels."""
    owner: npt.NDArray[Any]
    """The number of the mark that each of these pixels belongs to."""
    longer_side: npt.NDArray[Any]
    """Pixels of each mark's longer side."""
    contrast: npt.NDArray[Any]
    """Mean grey levels by which each mark stands out."""
    background: npt.NDArray[Any]
    """Mean grey levels by which everything around each mark stands out."""
    is_like_a_letter: npt.NDArray[Any]
    """Whether each mark could be a letter by its shape."""


def marked(hat: Grey, min_contrast: float, min_ratio: float) -> Mask:
    """Return a mask of the pixels in a top hat or a black hat that stand out.

    Args:
        hat: shape (height, width).
        min_contrast: minimum contrast of a pixel, in grey levels.
        min_ratio: minimum contrast of a pixel, as a multiple of the background's.
    """
    return _stands_out(hat, _sums_around(hat), min_contrast, min_ratio)


def _sums_around(hat: Grey) -> npt.NDArray[np.int32]:
    """Return the sum of the contrast in the square around each pixel, in grey levels."""
    side = THRESHOLDS.background_side
    bounded = np.minimum(hat, THRESHOLDS.max_background)
    sums: Any = cv2.boxFilter(bounded, cv2.CV_32S, (side, side), normalize=False)
    return np.asarray(sums)


def _background(sums: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Return the mean contrast around each pixel, in grey levels."""
    return (sums * (1 / THRESHOLDS.background_side**2)).astype(np.float32)


def _stands_out(
    hat: Grey, sums: npt.NDArray[np.int32], min_contrast: float, min_ratio: float
) -> Mask:
    """Return what :func:`marked` returns, for known sums."""
    mask = np.empty(hat.shape, np.uint8)
    # In strips: the whole background as real numbers would take hundreds of megabytes.
    for top in range(0, len(hat), _STRIP):
        here = slice(top, top + _STRIP)
        least = min_ratio * _background(sums[here]) + THRESHOLDS.background_offset
        mask[here] = hat[here] > np.maximum(min_contrast, least)
    return mask


def _marks(hat: Grey, min_contrast: float, min_ratio: float) -> _Marks:
    """Find the marks in a top hat or a black hat."""
    sums = _sums_around(hat)
    mask = _stands_out(hat, sums, min_contrast, min_ratio)
    rows, columns = np.nonzero(mask)
    background = _background(sums[rows, columns])
    del sums  # The labels take as much memory.
    within = covered_part(mask)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask[within], connectivity=8)
    owner: Any = labels[rows - within[0].start, columns - within[1].start]
    area = np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    wide, tall = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    longer_side = np.maximum(wide, tall)
    is_like_a_letter = (
        (area >= THRESHOLDS.min_mark_area)
        & (longer_side >= THRESHOLDS.min_mark_side)
        & (longer_side <= THRESHOLDS.max_mark_side)
        & (area >= THRESHOLDS.min_mark_fill * wide * tall)
    )
    is_like_a_letter[0] = False
    return _Marks(
        rows,
        columns,
        owner,
        longer_side,
        np.bincount(owner, hat[rows, columns], count) / area,
        np.bincount(owner, background, count) / area,
        is_like_a_letter,
    )


def _clusters(hat: Grey, scale: float, min_contrast: float, min_ratio: float) -> Iterator[Cluster]:
    """Yield the clusters of one hat, of which a pixel is ``scale`` pixels of the full picture."""
    marks = _marks(hat, min_contrast, min_ratio)
    for reach, least in THRESHOLDS.reaches:
        most = reach * THRESHOLDS.max_side_per_reach
        side = marks.longer_side
        chosen = marks.is_like_a_letter & (side <= most) & (side >= least)
        if not chosen.any():
            continue
        outlines, group = _neighbours(marks, chosen, hat.shape, reach)
        members = np.flatnonzero(chosen)
        owner = group[members]
        count = np.bincount(owner, minlength=len(outlines))
        height = side[members].astype(float)
        mean, square, contrast, background = (
            np.bincount(owner, values, len(count)) / np.maximum(count, 1)
            for values in (
                height,
                height**2,
                marks.contrast[members],
                marks.background[members],
            )
        )
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        for number in np.flatnonzero(count).tolist():
            yield Cluster(
                _in_full_picture(cv2.minAreaRect(outlines[number]), reach, scale),
                int(count[number]),
                float(contrast[number]),
                float(background[number]),
                float(mean[number]) * scale,
                float(deviation[number] / mean[number]),
                1 / scale,
            )


def _neighbours(
    marks: _Marks, chosen: npt.NDArray[Any], shape: tuple[int, ...], reach: int
) -> tuple[Sequence[npt.NDArray[Any]], npt.NDArray[Any]]:
    """Group the ``chosen`` marks that meet when each is grown by ``reach`` pixels.

    Returns:
        The outline of each group, and for each mark the number of its group.
    """
    is_chosen = chosen[marks.owner]
    rows, columns = marks.rows[is_chosen], marks.columns[is_chosen]
    # No more than the part of the picture that the grown marks cover is looked at.
    top, left = max(0, rows.min() - reach - 1), max(0, columns.min() - reach - 1)
    part = (
        min(shape[0], rows.max() + reach + 2) - top,
        min(shape[1], columns.max() + reach + 2) - left,
    )
    canvas = np.zeros(part, np.uint8)
    canvas[rows - top, columns - left] = 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    outlines, _ = cv2.findContours(
        cv2.dilate(canvas, disc), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    numbers = np.zeros(part, np.int32)
    for number, outline in enumerate(outlines):
        # Only this outline is passed on: OpenCV would convert the whole list again for each.
        cv2.drawContours(numbers, [outline], 0, number, -1)
    group = np.zeros(len(chosen), np.int32)
    group[marks.owner[is_chosen]] = numbers[rows - top, columns - left]
    outlines = [outline + np.array([left, top], np.int32) for outline in outlines]
    return outlines, group


def _in_full_picture(rectangle: Any, reach: int, scale: float) -> Rectangle:
    """Return the rectangle around marks without their growth, in pixels of the full picture."""
    (x, y), (width, height), angle = rectangle
    centre = (x + 0.5) * scale - 0.5, (y + 0.5) * scale - 0.5
    wide, tall = (max(1.0, side - 2 * reach + 1) * scale for side in (width, height))
    return centre, (wide, tall), angle
