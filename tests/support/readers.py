"""A reader of text that is still on a published picture, however faint it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from xray.redaction import ocr

IN_A_ROW = 4
"""Characters in a row that count as read."""
_LINE_HEIGHT = 64
"""Pixels to which a lower line is enlarged."""
Values = npt.NDArray[np.float32]
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
    wanted = _plain(text)
    parts = [wanted[n : n + IN_A_ROW] for n in range(len(wanted) - IN_A_ROW + 1)]
    for plane in _planes(np.asarray(image.crop(box))):
        if np.ptp(plane) == 0:
            continue
        scale = max(1.0, _LINE_HEIGHT / plane.shape[0])
        large = cv2.resize(plane, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        for view in _stretches(large):
            read = _plain(ocr.recognize(view).text)
            if any(part in read for part in parts):
                return True
    return False


def _plain(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def _planes(values: npt.NDArray[Any]) -> Iterator[Values]:
    """Yield the values, both bytes of deep ones, and the channels and their differences."""
    if values.ndim == 3:
        channels = np.moveaxis(values.astype(np.float32), 2, 0)
        yield from channels
        yield from channels - np.roll(channels, 1, axis=0)
        return
    yield values.astype(np.float32)
    if values.dtype == np.uint16:
        yield (values & 255).astype(np.float32)


def _stretches(values: Values) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the values with their whole range, around their median, and with even contrast."""
    yield _window(values, float(values.min()), float(values.max()))
    middle = float(np.median(values))
    for reach in (2, 8):
        yield _window(values, middle - reach, middle + reach)
    for share in (0.6, 1.5):
        side = int(share * values.shape[0]) | 1
        difference = values - cv2.blur(values, (side, side))
        deviation = np.sqrt(cv2.blur(difference * difference, (side, side)).clip(0)) + 0.05
        yield _window((difference / deviation).astype(np.float32), -2.5, 2.5)


def _window(values: Values, low: float, high: float) -> npt.NDArray[np.uint8]:
    """Return ``values`` with ``low`` as black and ``high`` as white."""
    result: npt.NDArray[np.uint8] = (
        ((values - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)
    )
    return result
