"""The risk, printed on the image."""

from __future__ import annotations

from PIL import Image, ImageDraw, ImageFont

from xray.settings import Label

_HEIGHT = 0.045
"""Height of the letters, as a share of the image's shorter side."""
_SMALLEST = 9
"""Pixels; below this nobody reads a letter."""


def caption(label: Label, risk: float) -> str:
    """What is printed: ``Pneumonia, risk=93.12%``."""
    return f"{label.value}, risk={risk:.2%}"


def annotate(image: Image.Image, text: str) -> Image.Image:
    """A copy of ``image`` (mode L or RGB) with ``text`` at the top left.

    Light letters on an opaque strip, so that they are read on bright and dark
    ground alike; their size follows the image's, and they always fit into it.
    """
    result = image.copy()
    draw = ImageDraw.Draw(result)
    height = max(_SMALLEST, round(min(image.size) * _HEIGHT))
    font = ImageFont.load_default(height)
    pad = max(2, height // 3)
    width = draw.textlength(text, font)
    if width + 2 * pad > image.width:
        height = max(4, int(height * (image.width - 2 * pad) / width))
        font = ImageFont.load_default(height)
        width = draw.textlength(text, font)
    strip = (0, 0, min(image.width, round(width) + 2 * pad) - 1, height + 2 * pad - 1)
    colour = {"L": (0, 255)}.get(image.mode, ((0, 0, 0), (255, 255, 255)))
    draw.rectangle(strip, fill=colour[0])
    draw.text((pad, pad + height / 2), text, fill=colour[1], font=font, anchor="lm")
    return result
