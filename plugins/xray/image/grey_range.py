"""The grey values that are shown black and white, where a file does not state them.

One defective pixel, or a border that is filled with an extreme value, must not
make the rest of an image flat: its text would be invisible in 8 bits, and so
would the lungs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_TAIL = 0.01
"""The share of pixels at each end that are not part of the bulk: defective pixels, a marker and
burned-in text take less."""
_SMALL_PART = 1 / 8
"""The share of the full range below which the bulk is too dark, or too flat: it would have fewer
than 32 of 256 grey levels."""
_MARGIN = 1 / 2
"""How far the range may extend beyond the bulk at each end, as a share of the bulk's width."""
_WHITE = 2**16 - 1


def value_range(values: npt.NDArray[Any], full: tuple[float, float]) -> tuple[float, float]:
    """Return the values that are shown black and white.

    This is ``full`` for every ordinary image. The bulk of the values decides instead only where it
    covers less than an eighth of ``full``. The bulk lies between the 1st and the 99th percentile
    of the pixels that have neither the smallest nor the largest value: a border may cover any
    share of the image, but it has one value. The result then spans the values that are within
    half the bulk's width of the bulk; everything beyond is to be clipped.

    Args:
        values: finite grey values, of any real type and any shape.
        full: the range for an ordinary image; every value is inside.
    """
    low, high = full
    if values.dtype.kind in "iu" and high - low < 2**8:
        return full  # each value has a grey level of its own
    inner = values[(values > values.min()) & (values < values.max())]
    if not inner.size:
        return full
    tail = int(inner.size * _TAIL)
    inner.partition((tail, inner.size - 1 - tail))
    first, last = float(inner[tail]), float(inner[-1 - tail])
    width = last - first
    if width == 0 or width >= (high - low) * _SMALL_PART:
        return full
    margin = width * _MARGIN
    near = values[(values >= first - margin) & (values <= last + margin)]
    return float(near.min()), float(near.max())


def sixteen_bit(values: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.uint16]:
    """Map ``low`` to 0 and ``high`` to 65535, and clip the values beyond.

    Args:
        values: finite grey values of shape (rows, columns).
        low: the value that becomes black.
        high: the value that becomes white. If it equals ``low``, the result is black.
    """
    result = np.zeros(values.shape, np.uint16)
    if high > low:
        # Row by row: a 64-bit copy of a large image takes hundreds of megabytes.
        for row, target in zip(values, result, strict=True):
            unit = (row.astype(np.float64) - low) / (high - low)
            target[:] = np.rint(unit.clip(0, 1) * _WHITE)
    return result
