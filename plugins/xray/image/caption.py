"""The risk, printed on the image; and a ruler around one, for whoever is to point at a place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from xray.image import eight_bit, significant_bits
from xray.settings import Label

_HEIGHT = 0.045
"""Height of the letters, as a share of the image's shorter side."""
_SMALLEST = 9
"""Pixels; below this nobody reads a letter."""
_RULER = 34
"""Pixels of a ruler's width."""
_FOR, _AGAINST = (255.0, 40.0, 20.0), (20.0, 110.0, 255.0)
"""Colours of evidence: red, and a blue that the colour-blind tell from it."""
_OPAQUE = 0.55
"""How much of the strongest cell is colour."""
_STRONG = 2.0
"""Evidence that is shown in full, at the least; it is a logit."""


def caption(
    label: Label, risk: float, *, reviewed: bool = False, refused: str | None = None
) -> str:
    """What is printed: ``Pneumonia, risk=93.12%``, and whether a person chose the label.

    No risk for an image that the model refused, but why: ``Unsure, upside down``.
    """
    return f"{label.value}, {refused or f'risk={risk:.2%}'}{', reviewed' if reviewed else ''}"


def print_caption(image: Image.Image, text: str, depth: int | None = None) -> Image.Image:
    """A copy of ``image`` with ``text`` at the top left.

    Light letters on an opaque strip, so that they are read on bright and dark
    ground alike; their size follows the image's, and they always fit into it.

    Args:
        image: mode L, RGB or I;16; the result's is the same.
        text: one line.
        depth: in mode I;16, the bits whose largest value is white; found in the
            values if None.
    """
    strip = _strip(image.size, text)
    if image.mode != "I;16":
        result = image.copy()
        result.paste(strip, (0, 0))
        return result
    values = np.array(image)
    white = 2 ** (depth or significant_bits(values)) - 1
    values[: strip.height, : strip.width] = np.rint(np.asarray(strip) * (white / 255))
    return Image.fromarray(values)


def show_evidence(
    image: Image.Image, evidence: Sequence[Sequence[float]], depth: int | None = None
) -> Image.Image:
    """``image`` in 8 bit colour, red where it speaks for pneumonia and blue where against it.

    Args:
        image: mode L, RGB or I;16.
        evidence: rows of cells, as :class:`xray.risk.Reading` has them.
        depth: as in :func:`print_caption`.
    """
    cells = np.asarray(evidence, dtype=np.float32)
    # The strongest cell is as strong as can be, unless all are near nought.
    unit = cells / max(_STRONG, float(np.abs(cells).max()))
    smooth = np.asarray(Image.fromarray(unit).resize(image.size, Image.Resampling.BICUBIC))
    amount = (np.abs(smooth).clip(0, 1) * _OPAQUE)[..., None]
    colour = np.where(smooth[..., None] > 0, _FOR, _AGAINST)
    ground = np.asarray(eight_bit(image, depth).convert("RGB"), dtype=np.float32)
    return Image.fromarray(np.rint(ground * (1 - amount) + colour * amount).astype(np.uint8))


def _strip(size: tuple[int, int], text: str) -> Image.Image:
    """The text on black, mode L, for an image of ``size`` (width, height in pixels)."""
    height = max(_SMALLEST, round(min(size) * _HEIGHT))
    font = ImageFont.load_default(height)
    pad = max(2, height // 3)
    width = font.getlength(text)
    if width + 2 * pad > size[0]:
        height = max(4, int(height * (size[0] - 2 * pad) / width))
        font = ImageFont.load_default(height)
        width = font.getlength(text)
    strip = Image.new("L", (min(size[0], round(width) + 2 * pad), min(size[1], height + 2 * pad)))
    ImageDraw.Draw(strip).text((pad, pad + height / 2), text, fill=255, font=font, anchor="lm")
    return strip


def ruled(image: Image.Image, side: int) -> Image.Image:
    """``image`` (mode L or RGB), reduced to ``side`` pixels, with rulers that count its own."""
    small = image.convert("L")
    small.thumbnail((side, side))
    scale = image.width / small.width
    sheet = Image.new("L", (small.width + _RULER, small.height + _RULER))
    sheet.paste(small, (_RULER, _RULER))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    step = next(n for n in (10, 20, 50, 100, 200, 500, 1000, 2000, 5000) if n / scale >= 45)
    for place in range(0, image.width, step):
        x = _RULER + place / scale
        draw.line((x, _RULER - 6, x, _RULER), fill=255)
        draw.text((x, _RULER - 9), str(place), fill=255, font=font, anchor="md")
    for place in range(0, image.height, step):
        y = _RULER + place / scale
        draw.line((_RULER - 6, y, _RULER, y), fill=255)
        draw.text((_RULER - 8, y), str(place), fill=255, font=font, anchor="rm")
    return sheet
