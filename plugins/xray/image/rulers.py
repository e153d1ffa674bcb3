"""Rulers around an image, for people who have to name a place on it."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

_WIDTH = 34
"""The width of a ruler, in pixels."""
_STEPS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
"""The possible distances between two numbers on a ruler, in pixels of the original image."""
_MIN_DISTANCE = 45
"""The smallest distance between two numbers on a ruler, in pixels of the sheet."""


def draw_rulers(image: Image.Image, side: int) -> Image.Image:
    """Return ``image`` reduced to ``side`` pixels, with rulers that count the original pixels.

    Args:
        image: an image in mode L or RGB.
        side: the longer side of the reduced image, in pixels.

    Returns:
        An image in mode L, with a ruler at the top and one at the left.
    """
    small = image.convert("L")
    small.thumbnail((side, side))
    scale = image.width / small.width
    sheet = Image.new("L", (small.width + _WIDTH, small.height + _WIDTH))
    sheet.paste(small, (_WIDTH, _WIDTH))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    step = next(step for step in _STEPS if step / scale >= _MIN_DISTANCE)
    for place in range(0, image.width, step):
        x = _WIDTH + place / scale
        draw.line((x, _WIDTH - 6, x, _WIDTH), fill=255)
        draw.text((x, _WIDTH - 9), str(place), fill=255, font=font, anchor="md")
    for place in range(0, image.height, step):
        y = _WIDTH + place / scale
        draw.line((_WIDTH - 6, y, _WIDTH, y), fill=255)
        draw.text((_WIDTH - 8, y), str(place), fill=255, font=font, anchor="rm")
    return sheet
