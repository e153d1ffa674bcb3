"""X-rays with known text on them, on which the redaction is measured.

They are drawn from a seed: the same seed gives the same images. The chests are the demo's
synthetic ones, flipped, scaled and toned; the corner in which their own text stands is filled. No
name or number on them belongs to a person.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import font_amatic_sc
import font_caladea
import font_roboto
import numpy as np
from PIL import Image

from bench.bar_codes import bar_code, qr_code
from bench.canvas import Canvas, Text
from bench.lettering import PLAIN_STROKES, SCRIPT_STROKES, Pixels, draw_block
from xray.redaction import masked

IMAGES = Path(__file__).resolve().parents[1] / "include" / "demo" / "images"
CORNER = (320, 104)
"""Width and height in pixels of the bottom left corner of a demo image, with its own text."""
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
MARKERS = ("L", "R", "AP", "PA", "SUPINE", "ERECT", "PORTABLE")
"""Words that may stand on a clean image: they name nobody."""
FIRST_NAMES = (
    "Ada,Bruno,Zoë,Jürgen,Åsa,Łukasz,José,Márta,Noël,Çınar,Siân,François,Mary Ann,Nguyen,Olga"
)
LAST_NAMES = (
    "Ashgrove,Birkwood,Müller-Lüdenscheidt,O'Hara,Nuñez,Żak,Öberg,de la Cruz,van den Berg,Çelik,"
    "Kovács,Dvořák,Inglemoor,Smith,Wu,Li,Garcia,Papadopoulos,Fitzwilliam,Hartwick"
)
HOSPITALS = (
    "St. Mary's Hospital,City Clinic,Klinikum Süd,Hôpital Nord,General Hospital,Ospedale Est"
)


@dataclass(slots=True)
class Sample:
    """An image, and the text on it."""

    kind: str
    image: Image.Image
    """Mode L."""
    bare: Image.Image
    """The same image without text."""
    texts: list[Text] = field(default_factory=list)
    letters: Pixels = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    """The number of the letter of which each pixel is ink, from 1; 0 for none."""
    zone: Pixels = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    """1 where text stands, with the margin that is needed to cover it."""

    @property
    def ordinary(self) -> bool:
        """Whether its text is ordinary: none of it may be missed."""
        return self.kind in ORDINARY


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


def sample(seed: int, index: int, kind: str) -> Sample:
    """Draw sample number ``index`` of the corpus with this ``seed``."""
    rng = np.random.default_rng([seed, index])
    bare = _chest(rng)
    result = Sample(kind, bare, bare)
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
    result.image = _stored(canvas.pixels, rng)
    result.texts, result.letters, result.zone = canvas.texts, canvas.letters, canvas.zone
    return result


@cache
def _chests() -> list[Image.Image]:
    """Return the demo's chests in full size, without their text."""
    chests = []
    for path in sorted(IMAGES.rglob("*.jpeg")):
        with Image.open(path) as image:
            wide, tall = CORNER
            box = (0, image.height - tall, wide, image.height)
            chests.append(masked(image.convert("L"), [box]))
    return chests


def _chest(rng: np.random.Generator) -> Image.Image:
    """Return a chest of another size and tone."""
    image = _chests()[rng.integers(len(_chests()))]
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scale = rng.uniform(0.75, 1.75)
    size = round(image.width * scale), round(image.height * scale * rng.uniform(0.95, 1.15))
    pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32) / 255
    pixels = pixels ** rng.uniform(0.75, 1.35) * rng.uniform(0.8, 1)
    noise = rng.normal(0, rng.uniform(0, 3), pixels.shape)
    return Image.fromarray(np.rint(pixels * 255 + noise).clip(0, 255).astype(np.uint8))


def _stored(pixels: Pixels, rng: np.random.Generator) -> Image.Image:
    """Return the image as it comes from a file; most are compressed as JPEG first."""
    image = Image.fromarray(pixels)
    if rng.random() < 0.3:
        return image
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=int(rng.integers(80, 97)))
    return Image.open(stream).convert("L")


def _fonts(kind: str) -> list[str | None]:
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


def _line(rng: np.random.Generator) -> str:
    """Return a line as software writes it on an X-ray: a name, a date, a number or a hospital."""
    name = f"{rng.choice(FIRST_NAMES.split(','))} {rng.choice(LAST_NAMES.split(','))}"
    year, month, day = rng.integers(1930, 2024), rng.integers(1, 13), rng.integers(1, 29)
    date = rng.choice(
        [
            f"{year}-{month:02}-{day:02}",
            f"{day:02}.{month:02}.{year}",
            f"{month:02}/{day:02}/{year}",
            f"{year}{month:02}{day:02}",
        ]
    )
    number = int(rng.integers(10**3, 10**8))
    surname, _, given = name[::-1].partition(" ")
    forms = (
        f"name:{name}",
        name,
        f"{surname[::-1].upper()}^{given[::-1].upper()}",
        f"id:{number}",
        f"ID {number}",
        f"d.o.b.:{date}",
        f"*{date}",
        f"{date} {rng.integers(24):02}:{rng.integers(60):02}",
        f"MRN {number}",
        f"{rng.choice(HOSPITALS.split(','))}",
        f"{name}, {date}",
    )
    return str(rng.choice(forms))


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
    style, fonts = _style(kind, rng), _fonts(kind)
    twice = kind in ("anywhere", "turned", "small") and rng.random() < 0.4
    for _ in range(2 if twice else 1):
        file = fonts[rng.integers(len(fonts))]
        for _ in range(20):
            strings = [_line(rng) for _ in range(style.lines)]
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
    strings = [_line(rng) for _ in range(int(rng.integers(1, 3)))]
    fonts = [file for file in _fonts("beside") if file != PLAIN_STROKES]
    file = fonts[rng.integers(len(fonts))]
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
        string = _line(rng)
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
