"""Removal: pixels drawn anew from their surroundings.

A removed pixel has no part in what replaces it, so nothing of the text can be recovered. The fill
is smooth: no letter's shape survives, and the risk hardly changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from xray.redaction.geometry import Box, Mask, surroundings
from xray.redaction.thresholds import THRESHOLDS

_NO_WEIGHT = 1e-3
"""Weight of a reduced pixel up to which it counts as unknown; rounding errors stay below."""
_NO_DIVISION_BY_ZERO = 1e-6


def masked(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """Return ``image`` with the ``boxes`` filled from their surroundings.

    A person has drawn the boxes; what is outside of the image is ignored.
    """
    pixels = np.asarray(image)
    mask = np.zeros(pixels.shape[:2], np.uint8)
    for left, top, right, bottom in boxes:
        mask[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = 1
    return Image.fromarray(filled(pixels, mask))


def filled(pixels: npt.NDArray[Any], mask: Mask) -> npt.NDArray[Any]:
    """Return ``pixels`` with the masked ones drawn anew from the others.

    Each connected part is filled by itself, by pull and push: the picture around it is reduced
    until the known pixels meet, and enlarged again. Where nothing is known, the result is black.

    Args:
        pixels: shape (height, width) or (height, width, channels), any unsigned integer type.
        mask: shape (height, width), 1 for the pixels to replace.
    """
    result = pixels.copy()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    for number in range(1, count):
        left, top, width, height, _ = (int(n) for n in stats[number])
        reach = max(THRESHOLDS.min_fill_reach, min(width, height))
        here = surroundings(left, top, width, height, reach)
        known = (mask[here] == 0).astype(np.float32)
        values = pixels[here].astype(np.float32)
        if not known.any():
            result[here] = 0
            continue
        smooth = _pull_and_push(values, known)
        inside = labels[here] == number
        drawn = np.rint(smooth).clip(0, np.iinfo(pixels.dtype).max).astype(pixels.dtype)
        result[here][inside] = drawn[inside]
    return result


def _pull_and_push(
    values: npt.NDArray[np.float32], known: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return ``values`` with the unknown ones, where ``known`` is 0, continued smoothly."""
    weight = known if values.ndim == 2 else known[..., None]
    if known.all() or min(known.shape) < 2:
        mean = (values * weight).sum((0, 1)) / max(1.0, float(known.sum()))
        return np.where(weight > 0, values, mean).astype(np.float32)
    less = cv2.pyrDown(known)
    sums = cv2.pyrDown(values * weight)
    share = less if values.ndim == 2 else less[..., None]
    means = np.where(share > 0, sums / np.maximum(share, _NO_DIVISION_BY_ZERO), 0)
    coarse = _pull_and_push(means.astype(np.float32), (less > _NO_WEIGHT).astype(np.float32))
    fine = cv2.pyrUp(coarse, dstsize=(values.shape[1], values.shape[0]))
    result: npt.NDArray[np.float32] = np.where(weight > 0, values, fine).astype(np.float32)
    return result


def outlined(pixels: npt.NDArray[Any], mask: Mask) -> npt.NDArray[Any]:
    """Return ``pixels`` with a thin line along the inner edge of ``mask``.

    The line is half way between the darkest and the lightest of the ``pixels``.
    """
    result = pixels.copy()
    edge = mask - cv2.erode(mask, np.ones((3, 3), np.uint8))
    result[edge > 0] = (int(pixels.max()) + int(pixels.min())) // 2
    return result
