"""The grey values that are shown black and white, where a file does not state them.

One defective pixel, or a border that is filled with an extreme value, must not
make the rest of an image flat: its text would be invisible in 8 bits, and so
would the lungs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_TAIL = 0.02
"""The share of pixels at each end that are not part of the bulk. Defective pixels, a marker and
most burned-in text take less; more would cut off the brightest parts of a chest."""
_SMALL_PART = 1 / 8
"""The share of the range below which the bulk is too flat: it would have fewer than 32 of 256 grey
levels."""
_MARGIN = 1 / 2
"""How far the range then extends beyond the bulk at each end, as a share of the bulk's width."""
_WHITE = 2**16 - 1


def value_range(values: npt.NDArray[Any], full: tuple[float, float]) -> tuple[float, float]:
    """Return the values that are shown black and white; those beyond are to be clipped.

    This is ``full``, unless outliers flatten the rest. The bulk of the values decides: from the 2nd
    to the 98th percentile of the pixels that have neither the smallest nor the largest value, since
    a filled border can cover any share of the image, but has one value.

    - Where no pixel has a value in an interval wider than the bulk, the values beyond the interval
      are outliers. The range ends before it.
    - Where the bulk still covers less than an eighth of the range, the range is that of the values
      within half the bulk's width of the bulk.

    Args:
        values: finite grey values, of any real type and any shape; at least one.
        full: the range for an ordinary image; every value is inside.
    """
    if values.dtype.kind in "iu" and full[1] - full[0] < 2**8:
        return full  # each value has a grey level of its own
    smallest, largest = values.min(), values.max()
    inner = values[(values > smallest) & (values < largest)]
    if not inner.size:
        return full
    tail = int(inner.size * _TAIL)
    inner.partition((tail, inner.size - 1 - tail))
    first, last = float(inner[tail]), float(inner[-1 - tail])
    width = last - first
    if width == 0:
        return full
    lower = np.sort(inner[: tail + 1])[::-1]
    upper = np.sort(inner[inner.size - 1 - tail :])
    low = _before_gap(np.append(lower, smallest), width, otherwise=full[0])
    high = _before_gap(np.append(upper, largest), width, otherwise=full[1])
    if width >= (high - low) * _SMALL_PART:
        return low, high
    margin = width * _MARGIN
    near = values[(values >= first - margin) & (values <= last + margin)]
    return float(near.min()), float(near.max())


def _before_gap(outward: npt.NDArray[Any], width: float, otherwise: float) -> float:
    """Return the last of the sorted values before a difference larger than ``width``.

    Args:
        outward: values from the bulk to the end of the range.
        width: of the bulk.
        otherwise: the result if there is no such difference.
    """
    gaps = np.flatnonzero(np.abs(np.diff(outward.astype(np.float64))) > width)
    return float(outward[gaps[0]]) if gaps.size else otherwise


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
