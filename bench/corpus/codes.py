"""The kind ``tall bars``: bar codes with bars of 110 to 300 px."""

from __future__ import annotations

import numpy as np
from PIL import Image

from bench.bar_codes import bar_code, code_128
from bench.canvas import Canvas, Text
from bench.corpus.chests import chest, stored
from bench.corpus.phrases import FIRST_NAMES, LAST_NAMES
from bench.corpus.sample import Sample, on_canvas
from bench.lettering import Pixels

_QUIET = 10
"""The width of the white zone beside the bars, in modules."""


def draw(rng: np.random.Generator, index: int) -> Sample:
    """Draw a sample; two of three have Code 128, the others EAN-13."""
    bare = chest(rng)
    canvas = Canvas(np.array(bare), rng)
    turned = rng.random() < 0.3
    string, dark, name = _code(rng, index, bare.size[1 if turned else 0])
    if turned:
        dark = np.rot90(dark, int(rng.choice([1, 3])))
    height, width = dark.shape
    top = int(rng.integers(0, max(1, bare.height - height)))
    left = int(rng.integers(0, max(1, bare.width - width)))
    dark = dark[: bare.height, : bare.width]
    height, width = dark.shape
    here = np.s_[top : top + height, left : left + width]
    low, high = rng.uniform(0, 30), rng.uniform(200, 255)
    if rng.random() < 0.2:  # A pale print.
        low, high = rng.uniform(70, 110), rng.uniform(160, 200)
    canvas.pixels[here] = np.rint(high + (low - high) * dark).astype(np.uint8)
    canvas.letters[here] = dark > 0.5
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    corners += np.array([left, top], np.float32)
    canvas.texts.append(Text(string, corners, 12))
    canvas.claim(corners, 12)
    variant = f"{name}{', turned' if turned else ''}"
    picture: Image.Image = stored(canvas.pixels, rng)
    return on_canvas("tall bars", variant, picture, bare, canvas)


def _code(rng: np.random.Generator, index: int, room: int) -> tuple[str, Pixels, str]:
    """Return a code's text, its picture on a plate (1 for black), and a name for its form.

    Args:
        rng: the source of the text and the sizes.
        index: the number of the sample.
        room: the width for it, in pixels.
    """
    tall, module = int(rng.integers(110, 301)), int(rng.integers(2, 6))
    number = int(rng.integers(1000, 10**6))
    names = [name for name in LAST_NAMES.split(",") if name.isascii()]
    given = [name for name in FIRST_NAMES.split(",") if name.isascii()]
    string = [
        f"{rng.choice(names)} {rng.choice(given)} {number}".upper(),
        f"{rng.choice(names)}^{rng.choice(given)}",
        str(rng.integers(10**11, 10**12)),
    ][index % 3]
    while True:
        if index % 3 == 2:
            name, dark = "EAN-13", bar_code(string, tall, module)
        else:
            name, dark = "Code 128", code_128(string, tall, module)
        dark = np.pad(dark, ((4 * module, 4 * module), (_QUIET * module, _QUIET * module)))
        if dark.shape[1] < room:
            return string, dark, f"{name} {tall} px, module {module}"
        module, string = max(2, module - 1), string if module > 2 else string[:-1]
