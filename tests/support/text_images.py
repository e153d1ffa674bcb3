"""Text on images, for the tests of the redaction."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont


def with_text(image: Image.Image, text: str, place: tuple[int, int], **options: Any) -> Image.Image:
    """Return a copy of ``image`` with a line of text on it.

    Args:
        image: the picture.
        text: the line.
        place: the left and top of the line, in pixels.
        options: ``size`` of the font in pixels, and options of ``ImageDraw.text``.
    """
    result = image.copy()
    font = ImageFont.load_default(options.pop("size", 24))
    ImageDraw.Draw(result).text(place, text, font=font, **{"fill": "white", **options})
    return result


def ink(image: Image.Image, without: Image.Image, least: int = 40) -> npt.NDArray[np.bool_]:
    """Return where two grey images differ by more than ``least`` grey levels."""
    return np.abs(np.asarray(image).astype(int) - np.asarray(without)) > least


def letter() -> Image.Image:
    """Return the image of a document: most of it is text."""
    image = Image.new("L", (400, 300), 20)
    for line in range(11):
        image = with_text(image, "Ada Ashgrove 1957-07-10 1234", (4, 27 * line), size=26)
    return image


def code(kind: str, text: str, module: int) -> npt.NDArray[np.uint8]:
    """Return a bar code or QR code with its white border, as zxing-cpp writes it.

    Args:
        kind: a format of zxing-cpp, such as ``Code128``.
        text: what the code says.
        module: the width of the thinnest bar, in pixels.
    """
    import zxingcpp

    written = zxingcpp.create_barcode(text, getattr(zxingcpp.BarcodeFormat, kind))
    return np.array(written.to_image(scale=module), np.uint8)
