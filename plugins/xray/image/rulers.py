"""Rulers around an image, for people who have to name a place on it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from PIL import Image, ImageDraw, ImageFont

_MARK = 6
"""The length of a mark, in pixels."""
_GAP = 3
"""Pixels around a number."""
_FONT_SIZE = 11
"""In pixels."""
_MIN_DISTANCE = 45
"""The smallest distance between two numbers on a ruler, in pixels of the sheet."""


def draw_rulers(image: Image.Image, side: int) -> Image.Image:
    """Return ``image`` with rulers that count its pixels, reduced to a sheet of ``side`` pixels.

    Args:
        image: an image in mode L or RGB.
        side: the most pixels of the longer side of the sheet, rulers included.

    Returns:
        An image in mode L, with a ruler at the top and one at the left.
    """
    font = ImageFont.load_default(_FONT_SIZE)
    longest = max(font.getlength(str(length)) for length in image.size)
    width = math.ceil(longest) + _MARK + 2 * _GAP
    small = image.convert("L")
    small.thumbnail((side - width, side - width))
    sheet = Image.new("L", (small.width + width, small.height + width))
    sheet.paste(small, (width, width))
    draw = ImageDraw.Draw(sheet)
    for place, at in _marks(image.width, small.width):
        x = width + at
        draw.line((x, width - _MARK, x, width), fill=255)
        draw.text((x, width - _MARK - _GAP), str(place), fill=255, font=font, anchor="md")
    for place, at in _marks(image.height, small.height):
        y = width + at
        draw.line((width - _MARK, y, width, y), fill=255)
        draw.text((width - _MARK - _GAP, y), str(place), fill=255, font=font, anchor="rm")
    return sheet


def _marks(length: int, reduced: int) -> Iterator[tuple[int, float]]:
    """Yield the numbers of a ruler, and their distances from its start in the reduced image.

    Args:
        length: the length of the image along the ruler, in pixels.
        reduced: the length of the reduced image, in pixels.
    """
    scale = length / reduced
    steps = (base * 10**power for power in itertools.count(1) for base in (1, 2, 5))
    step = next(step for step in steps if step / scale >= _MIN_DISTANCE)
    for place in range(0, length, step):
        yield place, place / scale
