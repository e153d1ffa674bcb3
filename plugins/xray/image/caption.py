"""The caption with the risk, printed on the image."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from xray.image.picture import significant_bits
from xray.settings import Label

_LETTER_HEIGHT = 0.045
"""The height of the letters, as a share of the image's shorter side."""
_MIN_LETTER_HEIGHT = 9
"""Pixels; smaller letters cannot be read."""


def caption_text(
    label: Label,
    risk: float,
    *,
    reviewed: bool = False,
    refused: str | None = None,
    decimals: int = 2,
) -> str:
    """Return the text of the caption, such as ``Pneumonia, risk=93.12%``.

    Args:
        label: the label of the image.
        risk: the risk of pneumonia, from 0 to 1.
        reviewed: whether a person chose the label.
        refused: why the model refused the image; this replaces the risk, as in
            ``Unsure, upside down``.
        decimals: the decimal places of the percentage; 0 on an anonymised image, where a more
            exact risk could identify the case: ``Pneumonia, risk=93%``.
    """
    reason = refused or f"risk={risk:.{decimals}%}"
    return f"{label.value}, {reason}{', reviewed' if reviewed else ''}"


def print_caption(image: Image.Image, text: str, depth: int | None = None) -> Image.Image:
    """Return a copy of ``image`` with ``text`` at the top left.

    The letters are light on an opaque black strip, so that they are readable on bright
    and on dark images. Their size follows the image's size, and they always fit into it.

    Args:
        image: an image in mode L, RGB or I;16; the result has the same mode.
        text: one line.
        depth: the number of significant bits in mode I;16; by default
            :func:`~xray.image.picture.significant_bits` of the image's values.
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


def _strip(size: tuple[int, int], text: str) -> Image.Image:
    """Draw the text on black, in mode L, for an image of ``size`` (width, height in pixels)."""
    height = max(_MIN_LETTER_HEIGHT, round(min(size) * _LETTER_HEIGHT))
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
