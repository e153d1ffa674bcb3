"""Text by neural networks: where it is, and what it says.

The networks are PP-OCR's (Apache-2.0), as the wheel of ``rapidocr`` carries
them: nothing is downloaded. onnxruntime runs them on one thread without an
arena, so that a process gives back what a large image took.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

DETECTOR = "PP-OCRv6_det_small.onnx"
READER = "PP-OCRv6_rec_small.onnx"
TILE = 960
"""Pixels of a side that the detector sees at once: what bounds its memory."""
OVERLAP = 64
LINE_HEIGHT = 48
"""Pixels that the reader wants a line to have."""
LONGEST_LINE = 960
"""Pixels of a line that the reader sees, at most; longer ones are read in part."""

Grey = npt.NDArray[Any]
"""Shape (height, width), uint8."""


class Reading(NamedTuple):
    """What a line says."""

    text: str
    confidence: float
    """Mean over its characters, 0 to 1; 0 for no text."""


@cache
def _session(name: str) -> Any:
    """A network, loaded once per process and after it was forked."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(
        str(files("rapidocr") / "models" / name), options, providers=["CPUExecutionProvider"]
    )


def likelihood(grey: Grey) -> npt.NDArray[np.float32]:
    """How likely each pixel belongs to text: shape as ``grey`` (height, width), 0 to 1.

    Worked through in tiles that overlap; flat ones hold no text and are left out.
    """
    height, width = grey.shape
    result = np.zeros(grey.shape, np.float32)
    step = TILE - OVERLAP
    for top in range(0, max(1, height - OVERLAP), step):
        for left in range(0, max(1, width - OVERLAP), step):
            here = np.s_[top : top + TILE, left : left + TILE]
            tile = grey[here]
            found = _detect(tile)
            np.maximum(result[here], found, out=result[here])
    return result


def _detect(tile: Grey) -> npt.NDArray[np.float32]:
    height, width = tile.shape
    padded = cv2.copyMakeBorder(tile, 0, -height % 32, 0, -width % 32, cv2.BORDER_REPLICATE)
    session = _session(DETECTOR)
    (found,) = session.run(None, {session.get_inputs()[0].name: _batch([padded])})
    result: npt.NDArray[np.float32] = found[0, 0, :height, :width]
    return result


def read(lines: list[Grey]) -> list[Reading]:
    """What upright ``lines`` say, each an array of (height, width)."""
    session = _session(READER)
    readings = []
    for line in lines:
        height, width = line.shape
        wide = int(np.clip(round(width * LINE_HEIGHT / height), 16, LONGEST_LINE))
        small = cv2.resize(line, (wide, LINE_HEIGHT), interpolation=cv2.INTER_AREA)
        small = cv2.copyMakeBorder(small, 0, 0, 0, max(0, 64 - wide), cv2.BORDER_REPLICATE)
        (found,) = session.run(None, {session.get_inputs()[0].name: _batch([small])})
        readings.append(_decoded(found[0]))
    return readings


def _batch(images: list[Grey]) -> npt.NDArray[np.float32]:
    """Grey images of one size as the networks take them: (n, 3, height, width), -1 to 1."""
    stack = np.stack(images).astype(np.float32)[:, None] / 127.5 - 1
    return np.repeat(stack, 3, axis=1)


@cache
def _characters() -> list[str]:
    known = _session(READER).get_modelmeta().custom_metadata_map["character"].splitlines()
    return ["", *known, " "]


def _decoded(steps: npt.NDArray[np.float32]) -> Reading:
    """The best path's text; ``steps`` has shape (time, characters)."""
    best, sure = steps.argmax(axis=1), steps.max(axis=1)
    kept = (best != 0) & np.append(True, best[1:] != best[:-1])
    if not kept.any():
        return Reading("", 0.0)
    text = "".join(_characters()[n] for n in best[kept])
    return Reading(text, float(sure[kept].mean()))
