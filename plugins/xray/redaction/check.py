"""The check of a redacted image: text that is still on it.

Another engine than the search's looks at the result, at another scale and with equalized contrast.
A decoder looks for bar codes. The search's detector looks once more around the text that was
removed, in full resolution, because text comes in blocks. All candidates are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from xray.redaction import codes, ocr, tesseract
from xray.redaction.fill import filled
from xray.redaction.find import is_certain, is_legible, strong_clusters
from xray.redaction.geometry import (
    Box,
    Grey,
    Mask,
    Rectangle,
    bounding_boxes,
    draw_rectangle,
    is_covered,
    is_line,
    lengthwise,
    without_margin,
)
from xray.redaction.thresholds import THRESHOLDS
from xray.redaction.views import equalize_contrast


@dataclass(frozen=True, slots=True)
class SecondLook:
    """The result of the check."""

    mask: Mask
    """1 where text is still legible."""
    read: int
    """The number of candidates that were read."""
    is_complete: bool
    """Whether all candidates were read."""


def look_again(grey: Grey, removed: Mask, markers: Mask, new: Mask | None = None) -> SecondLook:
    """Look for text that is still legible on a redacted picture.

    Args:
        grey: the redacted picture, shape (height, width).
        removed: 1 where text was removed already. What is found inside of it is ignored.
        markers: 1 where a marker stays. The check does not see them.
        new: 1 where text was removed after an earlier look, which saw the rest of the picture as it
            is; None for the first look.
    """
    view = filled(grey, markers)
    mask = np.zeros(removed.shape, np.uint8)
    lens = _boxes_around(removed if new is None else new)
    certain: list[Rectangle] = []
    doubtful: list[Rectangle] = []
    whole = 0, 0, view.shape[1], view.shape[0]
    for box in (whole,) if new is None else lens:
        for rectangles, part in zip((certain, doubtful), _otherwise_found(view, box), strict=True):
            rectangles.extend(part)
    for rectangle in certain:
        if not is_covered(removed, rectangle, THRESHOLDS.check_covered):
            draw_rectangle(mask, rectangle)
    candidates = [
        *((part, THRESHOLDS.rest_letters) for part in line_extensions(removed)),
        *((part, THRESHOLDS.rest_letters) for part in _nearby_text(view, lens)),
        *((part, THRESHOLDS.legible_letters) for part in doubtful),
    ]
    read = 0
    for rectangle, letters in candidates:
        if (
            min(rectangle[1]) < THRESHOLDS.min_line_height
            or is_covered(removed, rectangle, THRESHOLDS.check_covered)
            or is_covered(mask, rectangle, THRESHOLDS.already_covered)
        ):
            continue
        if read == THRESHOLDS.max_check_read:
            return SecondLook(mask, read, is_complete=False)
        read += 1
        if is_legible(view, rectangle, letters):
            draw_rectangle(mask, rectangle)
    return SecondLook(mask, read, is_complete=True)


def _boxes_around(mask: Mask) -> tuple[Box, ...]:
    """Return boxes around the parts of ``mask`` and their neighbourhood; they do not overlap."""
    reach = THRESHOLDS.lens_reach
    around = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    boxes, before = bounding_boxes(around), 0
    while len(boxes) != before:
        before = len(boxes)
        for left, top, right, bottom in boxes:
            around[top:bottom, left:right] = 1
        boxes = bounding_boxes(around)
    return boxes


def _otherwise_found(grey: Grey, box: Box) -> tuple[list[Rectangle], list[Rectangle]]:
    """Return what is text by itself in a part of the picture, and what must be read.

    The second engine, the decoder of codes and the search's strong marks find it.
    """
    left, top, right, bottom = box
    part = grey[top:bottom, left:right]
    certain, doubtful = _lines_of_second_engine(part)
    certain += codes.decoded_codes(part)
    doubtful += [cluster.rectangle for cluster in strong_clusters(part) if is_certain(cluster)]
    return [_moved(r, left, top) for r in certain], [_moved(r, left, top) for r in doubtful]


def _moved(rectangle: Rectangle, left: int, top: int) -> Rectangle:
    (x, y), size, angle = rectangle
    return (x + left, y + top), size, angle


def _lines_of_second_engine(grey: Grey) -> tuple[list[Rectangle], list[Rectangle]]:
    """Return the lines of which the second engine is certain, and those to be read again."""
    scale = THRESHOLDS.check_scale
    small = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    certain, doubtful = [], []
    for rectangle, text, confidence in tesseract.find_lines(equalize_contrast(small), 1 / scale):
        letters, (width, height) = ocr.letter_count(text), rectangle[1]
        if letters < THRESHOLDS.check_letters or width > THRESHOLDS.check_pitch * letters * height:
            continue
        is_certain_of_it = (
            letters >= THRESHOLDS.check_certain_letters
            and confidence >= THRESHOLDS.check_certain_confidence
        )
        if is_certain_of_it:
            certain.append(rectangle)
        elif confidence >= THRESHOLDS.check_confidence:
            doubtful.append(rectangle)
    return certain, doubtful


def _nearby_text(grey: Grey, boxes: Sequence[Box]) -> Iterator[Rectangle]:
    """Yield what the detector takes for text in parts of the picture, in full resolution.

    Text comes in blocks. Where a block runs from a dark part of the picture to a bright one, some
    of its lines are too faint to be found in the whole picture. Very large parts are reduced, which
    limits the time.
    """
    area = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
    scale = min(1.0, (THRESHOLDS.max_lens_area / max(1, area)) ** 0.5)
    for left, top, right, bottom in boxes:
        part = grey[top:bottom, left:right]
        if scale < 1:
            part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        likelihood = ocr.likelihood(equalize_contrast(part))
        found = ocr.text_rectangles(likelihood, 1 / scale, THRESHOLDS.lens_likelihood)
        yield from (_moved(rectangle, left, top) for rectangle, _ in found)


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
