"""Plates: the even ground that was put below a text or a code.

Without its text, a plate is an even area with sharp edges where there was anatomy. It says where
text was, and the risk model sees it. So a plate is removed together with its text.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from xray.redaction.geometry import (
    Grey,
    Mask,
    Rectangle,
    cover,
    lengthwise,
    surroundings,
    upright,
)
from xray.redaction.thresholds import THRESHOLDS


def with_plates(pixels: Grey, removed: Mask, kept: Mask) -> Mask:
    """Return ``removed`` together with the plates below it.

    Args:
        pixels: the picture, shape (height, width).
        removed: 1 where text is removed.
        kept: 1 where a marker stays. A plate with a marker on it stays, too.
    """
    result = removed.copy()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(removed)
    for number in range(1, count):
        left, top, width, height, _ = stats[number].tolist()
        reach = max(THRESHOLDS.min_plate_reach, width, height)
        here = surroundings(left, top, width, height, reach)
        text = (labels[here] == number).astype(np.uint8)
        plate = _plate_of(pixels, removed, text, here)
        if not (plate & kept[here]).any():
            result[here] |= plate
    return result


def _plate_of(pixels: Grey, removed: Mask, text: Mask, here: tuple[slice, slice]) -> Mask:
    """Return the plate below ``text`` in a part of a picture; an empty mask if there is none.

    Anatomy beside a plate can have nearly the same level. So the search for a plate that was not
    compressed, which is very even, comes first. If no even area is a plate, the rectangle of the
    text grows: anatomy touches only a part of a plate's side.
    """
    part, taken = pixels[here], removed[here]
    searches = product((_even_area, _even_rectangle), _levels(part, taken, text))
    for search, (level, noise) in searches:
        even = np.abs(part.astype(np.int16) - level) <= noise
        area = search(even, taken, text)
        if area.any() and _is_whole(area, here, pixels.shape, level):
            plate = _plate(part, taken, area, level)
            if plate.any():
                return plate
    return np.zeros_like(text)


def _levels(pixels: Grey, removed: Mask, text: Mask) -> list[tuple[int, int]]:
    """Return the grey levels that the plate below ``text`` can have, each with its noise.

    They are that of many pixels beside the text, and that of many pixels in its rectangle: the
    rectangle can be larger than the plate on some sides.
    """
    side = 2 * THRESHOLDS.plate_margin + 1
    beside = (cv2.dilate(text, np.ones((side, side), np.uint8)) > 0) & (removed == 0)
    both = [pixels[beside], pixels[text > 0]]
    levels: dict[tuple[int, int], None] = {}
    for noise, values in product((THRESHOLDS.plate_noise // 3, THRESHOLDS.plate_noise), both):
        near = np.convolve(np.bincount(values, minlength=256), np.ones(2 * noise + 1), "same")
        most = int(near.argmax())
        if near[most] >= max(1, THRESHOLDS.min_plate_share * values.size):
            near_most = np.abs(values.astype(np.int16) - most) <= noise
            levels[int(np.median(values[near_most])), noise] = None
    return list(levels)


def _even_area(even: npt.NDArray[np.bool_], removed: Mask, text: Mask) -> Mask:
    """Return the ``even`` pixels around and below ``text``, across all removed text."""
    _, labels = cv2.connectedComponents((even | (removed > 0)).astype(np.uint8), connectivity=4)
    area: Mask = (even & (labels == labels[text > 0][0])).astype(np.uint8)
    return area


def _even_rectangle(even: npt.NDArray[np.bool_], removed: Mask, text: Mask) -> Mask:
    """Return the ``even`` pixels in the rectangle of ``text``, grown by the lines beside its sides
    that are even.
    """
    box: Any = cv2.minAreaRect(cv2.findNonZero(text))
    (x, y), (width, height), angle = lengthwise(box)
    reach = max(THRESHOLDS.min_plate_reach, round(width))
    lines = upright((even | (removed > 0)).astype(np.uint8), box, reach, stretch=False)
    top, left, bottom, right = reach, reach, lines.shape[0] - reach, lines.shape[1] - reach
    rows = lines[:, left:right].mean(axis=1) >= THRESHOLDS.plate_solidity
    above, below = _run(rows[:top][::-1]), _run(rows[bottom:])
    columns = lines[top - above : bottom + below].mean(axis=0) >= THRESHOLDS.plate_solidity
    before, after = _run(columns[:left][::-1]), _run(columns[right:])
    radians = np.deg2rad(angle)
    right_by, down_by = (after - before) / 2, (below - above) / 2
    centre = (
        x + right_by * np.cos(radians) - down_by * np.sin(radians),
        y + right_by * np.sin(radians) + down_by * np.cos(radians),
    )
    size = width + before + after, height + above + below
    return even & _drawn((centre, size, angle), text.shape, 0)


def _run(values: npt.NDArray[np.bool_]) -> int:
    """Return how many values are true before the first that is not."""
    return int(np.argmin(np.append(values, False)))


def _plate(pixels: Grey, removed: Mask, area: Mask, level: int) -> Mask:
    """Return the rectangle of an even ``area`` if it is a plate, and an empty mask if it is not.

    A plate is a rectangle that is even beside the removed text, and almost everything around it has
    another grey level.
    """
    box: Any = cv2.minAreaRect(cv2.findNonZero(area))
    beside = (_drawn(box, area.shape, 0) > 0) & (removed == 0)
    nothing = np.zeros_like(area)
    if not beside.any() or area[beside].mean() < THRESHOLDS.plate_solidity:
        return nothing
    plate = _drawn(box, area.shape, THRESHOLDS.plate_margin)
    outside = (_drawn(box, area.shape, 3 * THRESHOLDS.plate_margin) > plate) & (removed == 0)
    step = np.abs(pixels[outside].astype(np.int16) - level)
    differs = step.size and np.quantile(step, THRESHOLDS.plate_quantile) >= THRESHOLDS.plate_step
    return plate if differs else nothing


def _is_whole(area: Mask, here: tuple[slice, slice], shape: tuple[int, ...], level: int) -> bool:
    """Return whether the ``area`` in the part ``here`` of a picture can be a whole plate.

    An area that reaches the edge of the part goes on outside of it. A dark area in a corner of the
    picture is left alone: it is likely the shadow of the collimator.
    """
    near = 2 * THRESHOLDS.plate_margin
    sides = area[:near], area[-near:], area[:, :near], area[:, -near:]
    is_outermost = (
        here[0].start == 0,
        here[0].stop >= shape[0],
        here[1].start == 0,
        here[1].stop >= shape[1],
    )
    reached = [last for side, last in zip(sides, is_outermost, strict=True) if side.any()]
    return all(reached) and (len(reached) < 2 or level > THRESHOLDS.max_shadow_level)


def _drawn(box: Rectangle, shape: tuple[int, ...], margin: float) -> Mask:
    """Return the mask of a rotated rectangle with a margin on each side, in pixels."""
    centre, (width, height), angle = box
    mask = np.zeros(shape, np.uint8)
    cover(mask, (centre, (width + 2 * margin, height + 2 * margin), angle))
    return mask
