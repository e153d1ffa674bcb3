"""The grey pictures in which the text of an image is looked for."""

from __future__ import annotations

import numpy as np
from PIL import Image

from xray.image import eight_bit
from xray.redaction.geometry import Grey
from xray.redaction.thresholds import THRESHOLDS


def grey_views(image: Image.Image, depth: int | None = None) -> list[Grey]:
    """Return the grey pictures that together show all text of ``image``.

    The first one is the image's brightness. Coloured text may be as bright as its background, so
    a coloured image has a second one: the strength of its colour.

    Args:
        image: the picture, in mode L, RGB or I;16.
        depth: in mode I;16, the number of bits in use; None to find it from the values.

    Returns:
        Arrays of shape (height, width), uint8; the brightness is stretched to 0 to 255.
    """
    pixels = np.asarray(eight_bit(image, depth))
    if pixels.ndim == 2:
        return [_stretch_range(pixels)]
    colour = pixels.max(axis=2) - pixels.min(axis=2)
    brightness = _stretch_range(np.asarray(Image.fromarray(pixels).convert("L")))
    return [brightness, colour] if colour.max() > THRESHOLDS.min_colour else [brightness]


def _stretch_range(grey: Grey) -> Grey:
    """Stretch the grey levels to the whole range of 0 to 255."""
    low, high = int(grey.min()), int(grey.max())
    if high - low in (0, 255):
        return grey
    result: Grey = np.rint((grey.astype(np.float32) - low) * (255 / (high - low))).astype(np.uint8)
    return result
