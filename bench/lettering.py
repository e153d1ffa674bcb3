"""Lines of text drawn as ink, as several kinds of software and hands would write them."""

from __future__ import annotations

from typing import Any

import cv2
import font_roboto
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Pixels = npt.NDArray[Any]
PLAIN_STROKES = "plain"
"""In place of a font's file: the plain strokes of a plotter."""
SCRIPT_STROKES = "script"
"""In place of a font's file: the strokes of a plotter that imitates handwriting."""
THIN_STROKES = "thin"
"""In place of a font's file: a plotter's strokes for small type, one pixel wide."""
BITMAP = "bitmap"
"""In place of a font's file: a bitmap of 6 x 11 pixels a letter, or of twice that."""
Line = tuple[str, Pixels, int]
"""A line's text, its corners of shape (4, 2) in pixels, and its font's size in pixels."""


def draw_block(
    strings: list[str],
    file: str | None,
    size: int,
    angle: float,
    *,
    wobble: bool,
    rng: np.random.Generator,
) -> tuple[Pixels, Pixels, list[Line]]:
    """Draw lines below each other.

    Args:
        strings: the lines.
        file: the font's file, PLAIN_STROKES, SCRIPT_STROKES, THIN_STROKES or BITMAP; None for
            Pillow's own font.
        size: of the font, in pixels.
        angle: of the block in degrees, counterclockwise.
        wobble: whether the letters are displaced as in handwriting.
        rng: the source of the wobble.

    Returns:
        The ink (0 to 1), the number of the letter that each pixel belongs to (0 for none), both of
        shape (height, width), and the place of each line.
    """
    drawn = [_draw_line(string, file, size) for string in strings]
    gap = round(size * 0.25)
    pad = 2
    width = max(ink.shape[1] for ink, _ in drawn) + 2 * pad
    height = sum(ink.shape[0] + gap for ink, _ in drawn) + 2 * pad
    ink, letters = np.zeros((height, width), np.float32), np.zeros((height, width), np.int32)
    lines, top, first = [], pad, 0
    for string, (line_ink, line_letters) in zip(strings, drawn, strict=True):
        tall, wide = line_ink.shape
        here = np.s_[top : top + tall, pad : pad + wide]
        ink[here] = line_ink
        letters[here] = np.where(line_letters > 0, line_letters + first, 0)
        first += len(string)
        corners = [
            (pad, top),
            (pad + wide, top),
            (pad + wide, top + tall),
            (pad, top + tall),
        ]
        lines.append((string, np.array(corners, np.float32), size))
        top += tall + gap
    if wobble:
        ink, letters = _wobble(ink, letters, size, rng)
    return _rotate(ink, letters, lines, angle)


def _draw_line(string: str, file: str | None, size: int) -> tuple[Pixels, Pixels]:
    """Return one line's ink, and the number of the letter that each of its pixels belongs to."""
    if file == BITMAP:
        return _draw_bitmap(string, 1 if size < 17 else 2)
    if file in (PLAIN_STROKES, SCRIPT_STROKES, THIN_STROKES):
        return _draw_strokes(string, file, size)
    if file is None and not string.isascii():
        file = font_roboto.Roboto  # Pillow's own font lacks most accents.
    font = ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
    width = int(np.ceil(font.getlength(string))) + 4
    image = Image.new("L", (width, round(size * 1.35)))
    ImageDraw.Draw(image).text((2, size), string, fill=255, font=font, anchor="ls")
    ends = [font.getlength(string[: n + 1]) for n in range(len(string))]
    return _with_letters(np.asarray(image, np.float32) / 255, ends)


def _draw_strokes(string: str, style: str, size: int) -> tuple[Pixels, Pixels]:
    """Draw one line in a plotter's strokes, as older devices do; other than ASCII becomes x."""
    face, unit = {
        PLAIN_STROKES: (cv2.FONT_HERSHEY_SIMPLEX, 30),
        SCRIPT_STROKES: (cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, 30),
        THIN_STROKES: (cv2.FONT_HERSHEY_PLAIN, 13),
    }[style]
    string = "".join(c if ord(c) < 128 else "x" for c in string)
    scale, thick = size / unit, 1 if style == THIN_STROKES else max(1, round(size / 14))
    ends = [cv2.getTextSize(string[: n + 1], face, scale, thick)[0][0] for n in range(len(string))]
    image = np.zeros((round(size * 1.5), ends[-1] + 8), np.uint8)
    cv2.putText(image, string, (3, round(size * 1.05)), face, scale, 255, thick, cv2.LINE_AA)
    return _with_letters(image.astype(np.float32) / 255, ends)


def _draw_bitmap(string: str, times: int) -> tuple[Pixels, Pixels]:
    """Draw one line in a bitmap font; other than Latin-1 becomes x."""
    string = "".join(c if ord(c) < 256 else "x" for c in string)
    font = ImageFont.load_default_imagefont()
    image = Image.new("L", (round(font.getlength(string)) + 4, 15))
    ImageDraw.Draw(image).text((2, 2), string, fill=255, font=font)
    ends = [font.getlength(string[: n + 1]) * times for n in range(len(string))]
    ink = np.kron(np.asarray(image, np.float32) / 255, np.ones((times, times), np.float32))
    return _with_letters(ink, ends)


def _with_letters(ink: Pixels, ends: list[float]) -> tuple[Pixels, Pixels]:
    """Return ``ink`` and the letter of each pixel: each ends at its column of ``ends``."""
    letters = np.searchsorted(np.array(ends) + 2, np.arange(ink.shape[1]), side="left") + 1
    letters = np.minimum(letters, len(ends))
    return ink, np.broadcast_to(letters.astype(np.int32), ink.shape).copy()


def _wobble(
    ink: Pixels, letters: Pixels, size: int, rng: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """Displace the pixels smoothly, as a hand would."""
    height, width = ink.shape
    grid = (max(2, height // size + 2), max(2, width // size + 2))
    shift = [
        cv2.resize(
            rng.normal(0, size * 0.07, grid).astype(np.float32),
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        )
        for _ in range(2)
    ]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    ink = cv2.remap(ink, x + shift[0], y + shift[1], cv2.INTER_LINEAR)
    moved = cv2.remap(letters.astype(np.float32), x + shift[0], y + shift[1], cv2.INTER_NEAREST)
    return ink, moved.astype(np.int32)


def _rotate(
    ink: Pixels, letters: Pixels, lines: list[Line], angle: float
) -> tuple[Pixels, Pixels, list[Line]]:
    """Rotate everything by ``angle`` degrees, counterclockwise; the arrays grow to hold it."""
    if angle == 0:
        return ink, letters, lines
    height, width = ink.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    wide, tall = int(np.ceil(height * sin + width * cos)), int(np.ceil(height * cos + width * sin))
    matrix[:, 2] += (wide - width) / 2, (tall - height) / 2
    rotated = [
        (string, (quad @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32), size)
        for string, quad, size in lines
    ]
    ink = cv2.warpAffine(ink, matrix, (wide, tall), flags=cv2.INTER_LINEAR)
    numbers = cv2.warpAffine(
        letters.astype(np.float32), matrix, (wide, tall), flags=cv2.INTER_NEAREST
    )
    return ink, numbers.astype(np.int32), rotated
