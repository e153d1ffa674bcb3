"""Bar codes: by their parallel bars, and by a decoder.

A bar can be much longer than a letter, so that the search for strokes takes it for an edge. The
bars of a code are straight, parallel, close together, and equally long.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from xray.redaction.geometry import Grey, Rectangle, covered_part, lengthwise
from xray.redaction.strokes import marked, scaled_hats
from xray.redaction.thresholds import THRESHOLDS


def bar_codes(grey: Grey) -> list[Rectangle]:
    """Return a rectangle around each group of bars in ``grey``, shape (height, width)."""
    found: list[Rectangle] = []
    for scale, hat in scaled_hats(grey):
        for group in _groups(_bars(hat), hat.shape):
            (x, y), (width, height), angle = cv2.minAreaRect(group)
            found.append(((x / scale, y / scale), (width / scale, height / scale), float(angle)))
    return found


def decoded_codes(grey: Grey) -> list[Rectangle]:
    """Return a rectangle around each bar code or QR code in ``grey`` that zxing-cpp decodes.

    The decoder itself reads no light bars on dark ground, so that it gets the negative, too.
    """
    import zxingcpp

    found = []
    for picture in (grey, 255 - grey):
        for code in zxingcpp.read_barcodes(picture):
            at = code.position
            corners = [
                (corner.x, corner.y)
                for corner in (at.top_left, at.top_right, at.bottom_right, at.bottom_left)
            ]
            centre, (width, height), angle = lengthwise(
                cv2.minAreaRect(np.array(corners, np.float32))  # type: ignore[arg-type]
            )
            # The decoder reads a bar code along a few lines, which may be all that it reports.
            least = THRESHOLDS.code_height * width
            found.append((centre, (width, max(height, least)), angle))
    return found


def _bars(hat: Grey) -> list[npt.NDArray[Any]]:
    """Return the corners, shape (4, 2), of each long and straight mark in a hat."""
    mask = marked(hat, THRESHOLDS.weak_contrast, THRESHOLDS.weak_ratio)
    within = covered_part(mask)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask[within], connectivity=8)
    longer = np.maximum(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    area = stats[:, cv2.CC_STAT_AREA]
    is_long = (longer >= THRESHOLDS.min_bar_length) & (area <= THRESHOLDS.max_bar_width * longer)
    is_long[0] = False
    bars = []
    for number in np.flatnonzero(is_long).tolist():
        left, top, width, height, _ = stats[number].tolist()
        rows, columns = np.nonzero(labels[top : top + height, left : left + width] == number)
        x, y = left + within[1].start, top + within[0].start
        pixels = np.column_stack([columns + x, rows + y]).astype(np.float32)
        rectangle: Any = cv2.minAreaRect(pixels)
        short, long = sorted(rectangle[1])
        if short <= THRESHOLDS.max_bar_width and long >= THRESHOLDS.min_bar_ratio * short:
            bars.append(cv2.boxPoints(rectangle))
    return bars


def _groups(bars: list[npt.NDArray[Any]], shape: tuple[int, ...]) -> list[npt.NDArray[Any]]:
    """Return the corners of the bars of each group of close, parallel and equally long bars."""
    if len(bars) < THRESHOLDS.min_bars:
        return []
    lengths, angles = np.array([_length_and_angle(corners) for corners in bars]).T
    centres = np.array([corners.mean(axis=0) for corners in bars])
    canvas = np.zeros(shape, np.uint8)
    for corners in bars:
        cv2.fillPoly(canvas, [np.rint(corners).astype(np.int32)], 1)
    reach = THRESHOLDS.bar_gap
    grown = cv2.dilate(canvas, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    _, labels = cv2.connectedComponents(grown)
    owner = np.array([_label(labels, corners) for corners in bars])
    groups = []
    for number in np.unique(owner).tolist():
        rest = np.flatnonzero(owner == number)
        while len(rest) >= THRESHOLDS.min_bars:
            is_alike = _is_alike(lengths[rest], angles[rest], centres[rest])
            if is_alike.sum() >= THRESHOLDS.min_bars:
                groups.append(np.concatenate([bars[n] for n in rest[is_alike]]))
            elif not is_alike.any():
                break
            rest = rest[~is_alike]
    return groups


def _is_alike(
    lengths: npt.NDArray[Any], angles: npt.NDArray[Any], centres: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    """Return which bars have the length and the direction of most, and lie side by side."""
    length, angle = _middle(lengths), _middle(angles)
    turn = np.abs((angles - angle + 90) % 180 - 90)
    along = centres @ (np.cos(np.radians(angle)), np.sin(np.radians(angle)))
    return (
        (np.abs(lengths - length) <= THRESHOLDS.bar_difference * length)
        & (turn <= THRESHOLDS.bar_turn)
        & (np.abs(along - _middle(along)) <= THRESHOLDS.bar_offset * length)
    )


def _middle(values: npt.NDArray[Any]) -> float:
    """Return the median, or the lower one of two: their mean can be far from both."""
    return float(np.quantile(values, 0.5, method="lower"))


def _length_and_angle(corners: npt.NDArray[Any]) -> tuple[float, float]:
    """Return a bar's length in pixels, and its direction from 0 to 180 degrees."""
    sides = corners[1] - corners[0], corners[2] - corners[1]
    side = max(sides, key=lambda vector: float(np.hypot(*vector)))
    return float(np.hypot(*side)), float(np.degrees(np.arctan2(side[1], side[0])) % 180)


def _label(labels: npt.NDArray[Any], corners: npt.NDArray[Any]) -> int:
    """Return the label at the centre of a bar."""
    x, y = corners.mean(axis=0)
    row = int(np.clip(round(float(y)), 0, labels.shape[0] - 1))
    column = int(np.clip(round(float(x)), 0, labels.shape[1] - 1))
    return int(labels[row, column])
