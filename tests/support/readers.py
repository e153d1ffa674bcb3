"""A reader of text that is still on a published picture, however faint it is."""

from __future__ import annotations

import cv2
from PIL import Image

from bench import stretches
from bench.readers import has_in_common, plain
from xray.redaction import ocr

_LINE_HEIGHT = 64
"""Pixels to which a lower line is enlarged."""
Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels."""


def is_readable(image: Image.Image, box: Box, text: str) -> bool:
    """Return whether four characters in a row of ``text`` can be read in a part of a picture.

    The part is read in every channel and byte, and in every stretch of its grey levels.

    Args:
        image: the picture, in any mode.
        box: where the line stood.
        text: the line.
    """
    wanted = plain(text)
    for plane in filter(stretches.has_stroke, stretches.planes(image.crop(box))):
        scale = max(1.0, _LINE_HEIGHT / plane.shape[0])
        large = cv2.resize(plane, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        for view in stretches.stretches(large):
            if has_in_common(wanted, plain(ocr.recognize(view).text)):
                return True
    return False
