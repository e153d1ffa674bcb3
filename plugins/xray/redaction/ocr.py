"""Text by neural networks: where it is, and what it says.

The networks are PP-OCR's (Apache-2.0), from the wheel of ``rapidocr``: nothing is downloaded.
onnxruntime runs them on one thread. The tiles of the detector limit the memory that it needs.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from xray.redaction.geometry import Grey, Rectangle
from xray.redaction.thresholds import THRESHOLDS

DETECTOR = "PP-OCRv6_det_small.onnx"
READER = "PP-OCRv6_rec_small.onnx"
DETECTOR_STRIDE = 32
"""The sides of the detector's input are multiples of this number of pixels."""
LINE_HEIGHT = 48
"""Height of the reader's input, in pixels."""
SHORTEST_LINE = 16
"""Minimum length of a line at that height, in pixels. A shorter line is stretched."""
SHORTEST_INPUT = 64
"""Minimum width of the reader's input, in pixels. The last column of a shorter line is repeated."""


class RecognizedText(NamedTuple):
    """The text that the reader recognized in one line."""

    text: str
    confidence: float
    """The mean over the characters, 0 to 1; 0 if there is no text."""


def likely_text(grey: Grey, threshold: float) -> list[tuple[Rectangle, float]]:
    """Find what the detector takes for text.

    It looks at half the resolution, unless the resolution is low already.

    Args:
        grey: the picture, shape (height, width).
        threshold: the likelihood above which a pixel belongs to text, 0 to 1.

    Returns:
        A rectangle in pixels of ``grey`` and its likelihood for each text, the likeliest first.
    """
    if min(grey.shape) < THRESHOLDS.soft_anatomy_side:
        return text_rectangles(likelihood(grey), 1, threshold)
    size = grey.shape[1] // 2, grey.shape[0] // 2
    half = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return text_rectangles(likelihood(half), 2, threshold)


def text_rectangles(
    likelihood: npt.NDArray[np.float32], scale: float, threshold: float
) -> list[tuple[Rectangle, float]]:
    """Return the rectangles around likely text, and how likely each one is.

    The detector marks the inside of a text. Each rectangle is grown by what this leaves out, which
    is more for a line than for a square.

    Args:
        likelihood: the detector's result, shape (height, width), 0 to 1.
        scale: pixels of the full picture for each of its pixels.
        threshold: the likelihood above which a pixel belongs to text.

    Returns:
        Rectangles in pixels of the full picture with their highest likelihood, the likeliest first.
    """
    outlines, _ = cv2.findContours(
        (likelihood > threshold).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    rectangles = []
    for outline in outlines:
        (x, y), (width, height), angle = cv2.minAreaRect(outline)
        if min(width, height) < THRESHOLDS.min_detected_side:
            continue
        growth = min(
            THRESHOLDS.max_unclip * min(width, height),
            THRESHOLDS.unclip_ratio * width * height / (width + height),
        )
        left, top, wide, tall = cv2.boundingRect(outline)
        highest = float(np.max(likelihood[top : top + tall, left : left + wide]))
        size = ((width + growth) * scale, (height + growth) * scale)
        rectangles.append((((x * scale, y * scale), size, angle), highest))
    return sorted(rectangles, key=lambda pair: -pair[1])


def likelihood(grey: Grey) -> npt.NDArray[np.float32]:
    """Return how likely each pixel belongs to text, 0 to 1, in the shape of ``grey``.

    The detector runs on overlapping tiles. Where they overlap, the higher likelihood counts.
    """
    height, width = grey.shape
    result = np.zeros(grey.shape, np.float32)
    side, overlap = THRESHOLDS.tile_side, THRESHOLDS.tile_overlap
    for top in range(0, max(1, height - overlap), side - overlap):
        for left in range(0, max(1, width - overlap), side - overlap):
            here = np.s_[top : top + side, left : left + side]
            np.maximum(result[here], _detect(grey[here]), out=result[here])
    return result


def _detect(tile: Grey) -> npt.NDArray[np.float32]:
    """Run the detector on one tile."""
    height, width = tile.shape
    below, right = -height % DETECTOR_STRIDE, -width % DETECTOR_STRIDE
    padded = cv2.copyMakeBorder(tile, 0, below, 0, right, cv2.BORDER_REPLICATE)
    result: npt.NDArray[np.float32] = _run(DETECTOR, padded)[0, 0, :height, :width]
    return result


def recognize(line: Grey) -> RecognizedText:
    """Read a level line of text, shape (height, width)."""
    height, width = line.shape
    scaled = round(width * LINE_HEIGHT / height)
    wide = int(np.clip(scaled, SHORTEST_LINE, THRESHOLDS.max_line_length))
    small = cv2.resize(line, (wide, LINE_HEIGHT), interpolation=cv2.INTER_AREA)
    padding = max(0, SHORTEST_INPUT - wide)
    small = cv2.copyMakeBorder(small, 0, 0, 0, padding, cv2.BORDER_REPLICATE)
    return _decode(_run(READER, small)[0])


def letter_count(text: str) -> int:
    """Return the number of letters and digits in ``text``."""
    return sum(character.isalnum() for character in text)


def _run(name: str, grey: Grey) -> Any:
    """Return what a network makes of one grey picture.

    The networks take a batch of shape (1, 3, height, width), with values of -1 to 1.
    """
    values = grey.astype(np.float32)[None, None] / 127.5 - 1
    session = _session(name)
    (result,) = session.run(None, {session.get_inputs()[0].name: np.repeat(values, 3, axis=1)})
    return result


def load() -> None:
    """Load both networks, for this process and its forks."""
    for name in (DETECTOR, READER):
        _session(name)
    _characters()


@cache
def _session(name: str) -> Any:
    """Load a network, once per process.

    It runs on the calling thread. A pool of threads would be missing in a forked process.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # Each tile and each line has a size of its own.
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        str(files("rapidocr") / "models" / name), options, providers=["CPUExecutionProvider"]
    )


@cache
def _characters() -> list[str]:
    """Return the reader's characters by their number; number 0 means none."""
    known = _session(READER).get_modelmeta().custom_metadata_map["character"].splitlines()
    return ["", *known, " "]


def _decode(steps: npt.NDArray[np.float32]) -> RecognizedText:
    """Return the likeliest text of the reader's result, of shape (time, characters).

    This is the greedy decoding of a CTC network: the same character in successive steps counts
    once.
    """
    best, confidence = steps.argmax(axis=1), steps.max(axis=1)
    kept = (best != 0) & np.append(True, best[1:] != best[:-1])
    if not kept.any():
        return RecognizedText("", 0.0)
    text = "".join(_characters()[n] for n in best[kept])
    return RecognizedText(text, float(confidence[kept].mean()))
