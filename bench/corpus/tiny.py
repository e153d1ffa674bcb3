"""The kind ``tiny``: pictures of 256 to 1,000 px with letters of 5 to 12 px."""

from __future__ import annotations

from contextlib import suppress

import cv2
import font_roboto
import numpy as np
from PIL import Image

from bench.canvas import Canvas
from bench.corpus import files
from bench.corpus.chests import smooth_chest
from bench.corpus.phrases import line
from bench.corpus.sample import Sample, on_canvas
from bench.lettering import BITMAP, PLAIN_STROKES, THIN_STROKES, draw_block

_CAPITAL = 0.7
"""The height of a capital letter, as a share of the font's size."""
_FACES = (
    PLAIN_STROKES,
    THIN_STROKES,
    BITMAP,
    None,
    font_roboto.Roboto,
    font_roboto.RobotoBold,
    font_roboto.RobotoMedium,
)
"""Fonts: files, strokes, a bitmap, or None for Pillow's own font."""


def draw(rng: np.random.Generator, index: int) -> Sample:
    """Draw a sample; the index chooses the font."""
    side = round(np.exp(rng.uniform(np.log(256), np.log(1000))))
    chest = smooth_chest(rng, side) * rng.uniform(200, 250)
    chest += rng.normal(0, rng.uniform(0, 3), chest.shape)
    bare = np.rint(chest).clip(0, 255).astype(np.uint8)
    canvas = Canvas(bare.copy(), rng)
    face = _FACES[index % len(_FACES)]
    height = rng.uniform(5, 12.5)
    if face == BITMAP:
        height = 8.0 if height < 10 else 16.0
    _write(canvas, face, round(height / _CAPITAL))
    with suppress(ValueError):  # There is no room for more.
        for _ in range(int(rng.choice([0, 0, 1, 2]))):
            _write(canvas, face, round(height / _CAPITAL))
    pixels = canvas.pixels
    if rng.random() < 0.5:
        data = files.raster(pixels, "JPEG", quality=int(rng.integers(85, 97)))
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return on_canvas(
        "tiny",
        f"{_name(face)}, {height:.0f} px",
        Image.fromarray(pixels),
        Image.fromarray(bare),
        canvas,
    )


def _write(canvas: Canvas, face: str | None, size: int) -> None:
    """Write a block of one to six lines, fewer where they don't fit.

    Args:
        canvas: the picture.
        face: the font.
        size: of the font, in pixels.

    Raises:
        ValueError: there is no room for the text.
    """
    rng = canvas.rng
    angle = float(rng.choice([90, 270])) if rng.random() < 0.1 else 0.0
    count = int(rng.integers(1, 7))
    while True:
        strings = [line(rng) for _ in range(count)]
        ink, letters, lines = draw_block(strings, face, size, angle, wobble=False, rng=rng)
        if all(np.less(ink.shape, canvas.pixels.shape)):
            break
        count, size = max(1, count - 1), max(8, size - 1)
    if face is not None and rng.random() < 0.3:  # Without grey edges, as older software writes.
        ink = (ink > 0.4).astype(np.float32)
    canvas.stamp(ink, letters, lines, contrast=(60, 200), ground=rng.random() < 0.1)


def _name(face: str | None) -> str:
    return face.rsplit("/", 1)[-1].removesuffix(".ttf") if face else "Pillow"
