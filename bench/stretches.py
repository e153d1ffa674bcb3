"""Every look at a place of a picture: its channels and bytes, and stretches of their grey levels.

A person who wants to read what was removed can stretch the grey levels as he likes. A stretch takes
values in float32, shape (height, width), and gives a picture in uint8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from PIL import Image

from bench.lettering import Pixels

_FLOOR = 0.05
"""A deviation in grey levels; smaller ones are not stretched further."""


def planes(image: Image.Image) -> Iterator[Pixels]:
    """Yield each view of ``image`` in grey, as float32.

    These are the values and both bytes of 16 bits, and of colours the channels, their differences,
    the hue and the saturation.
    """
    values = np.asarray(image)
    if values.ndim == 3:
        channels = values.astype(np.float32)
        red, green, blue = channels[..., 0], channels[..., 1], channels[..., 2]
        yield np.asarray(image.convert("L"), np.float32)
        yield from (red - green, blue - green, red - blue, red, green, blue)
        yield np.ptp(channels, axis=2)
        return
    yield values.astype(np.float32)
    if values.dtype != np.uint8:
        yield (values & 255).astype(np.float32)
        yield (values >> 8).astype(np.float32)


def has_stroke(values: Pixels) -> bool:
    """Return whether anything stands out in ``values``, by however little."""
    return bool(np.ptp(values) > 0)


def stretches(values: Pixels) -> Iterator[Pixels]:
    """Yield every stretch of ``values``, the most promising first."""
    for stretch in _STRETCHES:
        yield stretch(values)


def full_range(values: Pixels) -> Pixels:
    """Stretch the smallest and the largest value to black and white."""
    return _window(values, float(np.min(values)), float(np.max(values)))


def local_contrast(values: Pixels, size: float = 0.6) -> Pixels:
    """Divide the difference from the mean around each pixel by the deviation there.

    Args:
        values: the place of a line.
        size: of the window, as a share of the place's height.
    """
    side = max(3, int(values.shape[0] * size)) | 1
    mean = cv2.blur(values, (side, side))
    square = cv2.blur((values - mean) ** 2, (side, side))
    return _window((values - mean) / np.sqrt(square + _FLOOR**2), -2.5, 2.5)


def negative(values: Pixels) -> Pixels:
    """Return the negative of the full range."""
    result: Pixels = 255 - full_range(values)
    return result


def _inner_range(values: Pixels) -> Pixels:
    low, high = np.percentile(values, (5, 95))
    return _window(values, float(low), float(high)) if low < high else full_range(values)


def _equalized(values: Pixels) -> Pixels:
    return cv2.createCLAHE(4, (4, 4)).apply(full_range(values))


def _around_median(reach: float) -> Callable[[Pixels], Pixels]:
    def stretch(values: Pixels) -> Pixels:
        middle = float(np.median(values))
        return _window(values, middle - reach, middle + reach)

    return stretch


def _around_ground(reach: float) -> Callable[[Pixels], Pixels]:
    def stretch(values: Pixels) -> Pixels:
        side = (2 * values.shape[0]) | 1
        return _window(values - cv2.blur(values, (side, side)), -reach, reach)

    return stretch


_STRETCHES: tuple[Callable[[Pixels], Pixels], ...] = (
    full_range,
    local_contrast,
    _equalized,
    _around_median(8),
    _around_median(2),
    _inner_range,
    _around_ground(4),
    negative,
    lambda values: local_contrast(values, 1.5),
)


def _window(values: Pixels, low: float, high: float) -> Pixels:
    """Return ``values`` with ``low`` and less as black and ``high`` and more as white."""
    scale = 255 / (high - low) if high > low else 0.0
    result: Pixels = np.rint((values - low) * scale).clip(0, 255).astype(np.uint8)
    return result
