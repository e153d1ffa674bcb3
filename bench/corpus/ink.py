"""Text as a layer of ink, to be put on pictures of any depth and colour."""

from __future__ import annotations

import numpy as np

from bench.canvas import Canvas, Text
from bench.corpus.mixed import fonts
from bench.corpus.phrases import line
from bench.lettering import Line, Pixels, draw_block

Region = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, the last two excluded."""


def block_within(
    rng: np.random.Generator, shape: tuple[int, ...], sizes: tuple[int, int], lines: tuple[int, int]
) -> tuple[Pixels, Pixels, list[Line]]:
    """Draw lines that fit into an array of ``shape`` (height, width).

    Args:
        rng: the source of the text.
        shape: the space.
        sizes: the smallest and the largest size of the font, in pixels.
        lines: the least and the most lines.
    """
    faces = fonts("anywhere")
    file = faces[rng.integers(len(faces))]
    size = int(rng.integers(*sizes, endpoint=True))
    count = int(rng.integers(*lines, endpoint=True))
    while True:
        block = draw_block([line(rng) for _ in range(count)], file, size, 0, wobble=False, rng=rng)
        if all(np.less(block[0].shape, shape)):
            return block
        count, size = max(1, count - 1), max(sizes[0], size - 2)


def ink_layer(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    region: Region | None = None,
    *,
    sizes: tuple[int, int] = (14, 36),
    lines: tuple[int, int] = (1, 3),
) -> Canvas:
    """Put lines of text into a region of a black canvas, in white: a pixel's value is its ink.

    Args:
        rng: the source of the text and its place.
        shape: height and width of the canvas, in pixels.
        region: where the text stands; None for anywhere.
        sizes: the smallest and the largest size of the font, in pixels.
        lines: the least and the most lines.
    """
    canvas = Canvas(np.zeros(shape[:2], np.uint8), rng)
    left, top, right, bottom = region or (0, 0, shape[1], shape[0])
    here = np.s_[top:bottom, left:right]
    part = Canvas(np.zeros((bottom - top, right - left), np.uint8), rng)
    part.stamp(*block_within(rng, part.pixels.shape, sizes, lines), contrast=(255, 255))
    canvas.pixels[here], canvas.letters[here] = part.pixels, part.letters
    for text in part.texts:
        corners = text.quad + np.array([left, top], np.float32)
        canvas.texts.append(Text(text.string, corners, text.size))
        canvas.claim(corners, max(5.0, 0.6 * text.size))
    return canvas


def with_strip(values: Pixels, level: float, rng: np.random.Generator) -> tuple[Pixels, Region]:
    """Return ``values`` with a strip of one ``level`` at a side, and the place of the strip."""
    tall, wide = values.shape
    side = rng.integers(4)
    depth = int(rng.integers(110, 240)) if side < 2 else int(rng.integers(330, 480))
    pad, region = (
        (((depth, 0), (0, 0)), (0, 0, wide, depth)),
        (((0, depth), (0, 0)), (0, tall, wide, tall + depth)),
        (((0, 0), (depth, 0)), (0, 0, depth, tall)),
        (((0, 0), (0, depth)), (wide, 0, wide + depth, tall)),
    )[side]
    return np.pad(values, pad, constant_values=level), region
