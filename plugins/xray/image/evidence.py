"""The model's evidence, drawn over the image in colour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from xray.image.picture import eight_bit

_FOR, _AGAINST = (255.0, 40.0, 20.0), (20.0, 110.0, 255.0)
"""The colours, in RGB: red, and a blue that colour-blind people can distinguish from it."""
_MAX_OPACITY = 0.55
"""The opacity of the strongest cell's colour."""
_MIN_FULL_SCALE = 2.0
"""A logit. Evidence weaker than this is never drawn at full opacity."""


def draw_evidence(
    image: Image.Image, evidence: Sequence[Sequence[float]], depth: int | None = None
) -> Image.Image:
    """Return ``image`` in 8-bit RGB, red where it suggests pneumonia and blue where it does not.

    Args:
        image: an image in mode L, RGB or I;16.
        evidence: logits in rows of cells that cover the image, as in
            :class:`xray.risk.Prediction`.
        depth: the number of significant bits in mode I;16; by default
            :func:`~xray.image.picture.significant_bits` of the image's values.
    """
    cells = np.asarray(evidence, dtype=np.float32)
    # The strongest cell gets the full opacity, unless all cells are weak.
    unit = cells / max(_MIN_FULL_SCALE, float(np.abs(cells).max()))
    smooth = np.asarray(Image.fromarray(unit).resize(image.size, Image.Resampling.BICUBIC))
    result = np.array(eight_bit(image, depth).convert("RGB"))
    # Row by row: a large image in three colours of real numbers takes more than a gigabyte.
    for row, strength in zip(result, smooth, strict=True):
        opacity = (np.abs(strength).clip(0, 1) * _MAX_OPACITY)[:, None]
        colour = np.where(strength[:, None] > 0, _FOR, _AGAINST)
        row[:] = np.rint(row.astype(np.float32) * (1 - opacity) + colour * opacity)
    return Image.fromarray(result)
