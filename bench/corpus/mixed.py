"""The kinds that are mixed by their shares: text in 8 bits that stands out."""

from __future__ import annotations

from dataclasses import dataclass

import font_amatic_sc
import font_caladea
import font_roboto
import numpy as np

from bench.bar_codes import bar_code, qr_code
from bench.canvas import Canvas, Text
from bench.corpus.chests import chest, stored
from bench.corpus.phrases import MARKERS, line
from bench.corpus.sample import Sample, on_canvas
from bench.lettering import PLAIN_STROKES, SCRIPT_STROKES, draw_block

ORDINARY = ("lines", "anywhere", "turned", "boxed", "large", "beside")
HARD = ("small", "faint", "slanted", "handwritten", "cut", "codes")
SHARES = {
    "lines": 16,
    "anywhere": 15,
    "turned": 12,
    "boxed": 6,
    "large": 4,
    "beside": 4,
    "small": 8,
    "faint": 8,
    "slanted": 8,
    "handwritten": 6,
    "cut": 5,
    "codes": 4,
    "clean": 4,
}
"""Per cent of the corpus. *Ordinary* text has at least 12 px and a contrast of at least 40 grey
levels, and is level or upright."""


def kinds(count: int) -> list[str]:
    """Return the kind of each of ``count`` samples, evenly mixed."""
    total = sum(SHARES.values())
    due = dict.fromkeys(SHARES, 0.0)
    order = []
    for _ in range(count):
        for kind, share in SHARES.items():
            due[kind] += share / total
        kind = max(due, key=lambda name: due[name])
        due[kind] -= 1
        order.append(kind)
    return order


def draw(rng: np.random.Generator, kind: str) -> Sample:
    """Draw a sample of a ``kind``."""
    bare = chest(rng)
    canvas = Canvas(np.array(bare), rng)
    if kind == "clean":
        if rng.random() < 0.6:
            _marker(canvas)
    elif kind == "codes":
        _code(canvas)
    elif kind == "beside":
        _write_beside_a_marker(canvas)
    else:
        _write(canvas, kind)
    return on_canvas(kind, "", stored(canvas.pixels, rng), bare, canvas)


def fonts(kind: str) -> list[str | None]:
    """Return the fonts of a kind: files, strokes, or None for Pillow's own font."""
    if kind == "handwritten":
        return [font_amatic_sc.AmaticSCBold, font_amatic_sc.AmaticSC, SCRIPT_STROKES]
    return [
        None,
        font_roboto.Roboto,
        font_roboto.RobotoBold,
        font_caladea.Caladea,
        font_caladea.CaladeaBold,
        PLAIN_STROKES,
    ]


@dataclass(slots=True)
class _Style:
    """How text of a kind is written; sizes in pixels, the angle in degrees."""

    size: int
    lines: int = 1
    contrast: tuple[int, int] = (40, 200)
    angle: float = 0.0
    inside: float = 1.0
    smallest: int = 12


def _style(kind: str, rng: np.random.Generator) -> _Style:
    """Choose a style for a kind."""
    size = int(rng.integers(12, 37))
    styles = {
        "lines": lambda: _Style(size, lines=int(rng.integers(2, 6))),
        "turned": lambda: _Style(
            size, lines=int(rng.integers(1, 4)), angle=float(rng.choice([90, 180, 270]))
        ),
        "large": lambda: _Style(int(rng.integers(37, 73))),
        "small": lambda: _Style(
            int(rng.integers(8, 12)), lines=int(rng.integers(1, 5)), smallest=8
        ),
        "faint": lambda: _Style(size, contrast=(15, 39)),
        "slanted": lambda: _Style(size, angle=float(rng.uniform(2, 45) * rng.choice([-1, 1]))),
        "handwritten": lambda: _Style(int(rng.integers(24, 61)), angle=float(rng.uniform(-8, 8))),
        "cut": lambda: _Style(size, inside=0.5),
    }
    return styles.get(kind, lambda: _Style(size))()


def _write(canvas: Canvas, kind: str) -> None:
    """Write lines of text of a ``kind``, in one place or two."""
    rng = canvas.rng
    style, faces = _style(kind, rng), fonts(kind)
    twice = kind in ("anywhere", "turned", "small") and rng.random() < 0.4
    for _ in range(2 if twice else 1):
        file = faces[rng.integers(len(faces))]
        for _ in range(20):
            strings = [line(rng) for _ in range(style.lines)]
            block = draw_block(
                strings, file, style.size, style.angle, wobble=kind == "handwritten", rng=rng
            )
            if all(np.less(block[0].shape, canvas.pixels.shape)):
                break
            style.size = max(style.smallest, style.size - 4)
        canvas.stamp(*block, contrast=style.contrast, inside=style.inside, ground=kind == "boxed")


def _write_beside_a_marker(canvas: Canvas) -> None:
    """Write lines of text that nearly touch a marker, which is larger and at times lighter."""
    rng = canvas.rng
    size = int(rng.integers(12, 25))
    strings = [line(rng) for _ in range(int(rng.integers(1, 3)))]
    faces = [file for file in fonts("beside") if file != PLAIN_STROKES]
    file = faces[rng.integers(len(faces))]
    ink, letters, lines = draw_block(strings, file, size, 0.0, wobble=False, rng=rng)
    large = int(size * rng.uniform(2, 4))
    marker, _, _ = draw_block([str(rng.choice(MARKERS))], file, large, 0.0, wobble=False, rng=rng)
    marker = marker[marker.any(axis=1)]
    (tall, wide), (high, broad), gap = ink.shape, marker.shape, int(rng.integers(3, 20))
    at = (0, 0)
    if rng.random() < 0.5:
        shape, there = (tall + gap + high, max(wide, broad)), (tall + gap, 0)
    else:
        shape, there = (max(tall, high), wide + gap + broad), (0, wide + gap)
    if rng.random() < 0.5:  # The marker comes first.
        at, there = (shape[0] - tall, shape[1] - wide), (0, 0)
    both, owner = np.zeros(shape, np.float32), np.zeros(shape, np.int32)
    here = np.s_[at[0] : at[0] + tall, at[1] : at[1] + wide]
    both[here], owner[here] = ink * rng.uniform(0.6, 1), letters
    both[there[0] : there[0] + high, there[1] : there[1] + broad] += marker
    moved = [(text, quad + np.array(at[::-1], np.float32), font) for text, quad, font in lines]
    canvas.stamp(both.clip(0, 1), owner, moved, contrast=(80, 200))


def _marker(canvas: Canvas) -> None:
    """Write a laterality marker, which may stay: the sample has no text to remove."""
    rng = canvas.rng
    size = int(rng.integers(20, 80))
    block = draw_block([str(rng.choice(MARKERS[:2]))], None, size, 0.0, wobble=False, rng=rng)
    canvas.stamp(*block, contrast=(80, 200))
    canvas.texts.clear()
    canvas.zone[:] = 0


def _code(canvas: Canvas) -> None:
    """Put a QR code or a bar code on its white plate."""
    rng = canvas.rng
    if rng.random() < 0.5:
        string = line(rng)
        module = int(rng.integers(3, 7))
        dark = qr_code(string, module)
    else:
        string = str(rng.integers(10**11, 10**12))
        module = int(rng.integers(2, 4))
        dark = bar_code(string, int(rng.integers(30, 90)), module)
    quiet = 4 * module
    dark = np.pad(dark, quiet)
    light = 1 - dark
    height, width = dark.shape
    quad = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    top = int(rng.integers(0, canvas.pixels.shape[0] - height))
    left = int(rng.integers(0, canvas.pixels.shape[1] - width))
    here = (slice(top, top + height), slice(left, left + width))
    canvas.pixels[here] = np.rint(light * 235 + 10).astype(np.uint8)
    canvas.letters[here] = (dark > 0.5).astype(np.int32)
    corners = quad + np.array([left, top], np.float32)
    canvas.texts.append(Text(string, corners, 12))
    canvas.claim(corners, 12)
