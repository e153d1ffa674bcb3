"""X-rays with known text on them, drawn anew from a seed: what redaction is measured on.

The chests are the demo's synthetic ones, flipped, scaled and toned, with the
corner that their own text stands in drawn anew. Nothing on them is anybody's.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import font_amatic_sc
import font_caladea
import font_roboto
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from xray.redaction import masked

IMAGES = Path(__file__).resolve().parents[1] / "include" / "demo" / "images"
CORNER = (320, 104)
"""Pixels at the bottom left of a demo image that its own text stands in."""
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
"""Per cent of the corpus; *ordinary* is 12 px and up, 40 grey levels and up, at right angles."""
MARKERS = ("L", "R", "AP", "PA", "SUPINE", "ERECT", "PORTABLE")
"""What stands on a clean image: it names nobody."""
FIRST = "Ada,Bruno,Zoë,Jürgen,Åsa,Łukasz,José,Márta,Noël,Çınar,Siân,François,Mary Ann,Nguyen,Olga"
LAST = (
    "Ashgrove,Birkwood,Müller-Lüdenscheidt,O'Hara,Nuñez,Żak,Öberg,de la Cruz,van den Berg,Çelik,"
    "Kovács,Dvořák,Inglemoor,Smith,Wu,Li,Garcia,Papadopoulos,Fitzwilliam,Hartwick"
)
PLACES = "St. Mary's Hospital,City Clinic,Klinikum Süd,Hôpital Nord,General Hospital,Ospedale Est"
Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text on an image."""

    string: str
    quad: Pixels
    """Its corners, shape (4, 2), x and y in pixels, clockwise from the first letter's top left."""
    size: int
    """Of its font, in pixels."""


@dataclass(slots=True)
class Sample:
    """An image, and what stands on it."""

    kind: str
    image: Image.Image
    """Mode L."""
    bare: Image.Image
    """The same without text."""
    texts: list[Text] = field(default_factory=list)
    letters: Pixels = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    """The number of the letter that a pixel is ink of, counted from 1; 0 for none."""
    zone: Pixels = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    """1 where text stands, with the margin that it takes to cover it."""

    @property
    def ordinary(self) -> bool:
        """Whether none of its text may be missed."""
        return self.kind in ORDINARY


def kinds(count: int) -> list[str]:
    """The kind of each of ``count`` samples, well mixed."""
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
    """The ``index``-th sample of the corpus that ``seed`` gives."""
    rng = np.random.default_rng([seed, index])
    bare = _chest(rng)
    result = Sample(kind, bare, bare)
    canvas = _Canvas(np.array(bare), rng)
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
    """The demo's chests, whole, without their text."""
    chests = []
    for path in sorted(IMAGES.rglob("*.jpeg")):
        with Image.open(path) as image:
            wide, tall = CORNER
            box = (0, image.height - tall, wide, image.height)
            chests.append(masked(image.convert("L"), [box]))
    return chests


def _chest(rng: np.random.Generator) -> Image.Image:
    """A chest of another size and tone."""
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
    """As it comes from a file: most were JPEGs once."""
    image = Image.fromarray(pixels)
    if rng.random() < 0.3:
        return image
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=int(rng.integers(80, 97)))
    return Image.open(stream).convert("L")


class _Canvas:
    """An image under a pen."""

    def __init__(self, pixels: Pixels, rng: np.random.Generator) -> None:
        self.pixels = pixels
        self.rng = rng
        self.letters = np.zeros(pixels.shape, np.int32)
        self.zone = np.zeros(pixels.shape, np.uint8)
        self.texts: list[Text] = []

    def stamp(
        self,
        ink: Pixels,
        letters: Pixels,
        lines: list[tuple[str, Pixels, int]],
        *,
        contrast: tuple[int, int],
        inside: float = 1.0,
        ground: bool = False,
    ) -> None:
        """Put ``ink`` (0 to 1) where it can be seen with the ``contrast`` in grey levels.

        Args:
            ink: how much of a pixel is ink.
            letters: which letter's it is.
            lines: what it says, with the corners in it and the font's size.
            contrast: least and most; the least holds against all of its ground.
            inside: the share that is on the image, from 0 to 1.
            ground: whether it stands on an opaque plate.
        """
        height, width = ink.shape
        for _ in range(200):
            left, top = self._place(width, height, inside)
            if self._try(ink, letters, lines, left, top, contrast, ground):
                return
        raise ValueError("There is no room for the text.")

    def _place(self, width: int, height: int, inside: float) -> tuple[int, int]:
        tall, wide = self.pixels.shape
        rng = self.rng
        left = int(rng.integers(0, max(1, wide - width)))
        top = int(rng.integers(0, max(1, tall - height)))
        if inside < 1:
            off = rng.uniform(1 - inside, 0.5)
            match rng.integers(4):
                case 0:
                    left = -int(off * width)
                case 1:
                    left = wide - int((1 - off) * width)
                case 2:
                    top = -int(off * height)
                case _:
                    top = tall - int((1 - off) * height)
        elif rng.random() < 0.4:  # Close to a corner, where most software writes.
            edge = int(rng.integers(2, 20))
            left = edge if rng.random() < 0.5 else max(0, wide - width - edge)
            top = edge if rng.random() < 0.5 else max(0, tall - height - edge)
        return left, top

    def _try(
        self,
        ink: Pixels,
        letters: Pixels,
        lines: list[tuple[str, Pixels, int]],
        left: int,
        top: int,
        contrast: tuple[int, int],
        ground: bool,
    ) -> bool:
        tall, wide = self.pixels.shape
        y0, x0 = max(0, top), max(0, left)
        y1, x1 = min(tall, top + ink.shape[0]), min(wide, left + ink.shape[1])
        part = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        here = (slice(y0, y1), slice(x0, x1))
        alpha, view = ink[part], self.pixels[here].astype(np.float32)
        if not (alpha > 0.5).any() or self.zone[here].any():
            return False
        if ground:
            plate = self.rng.integers(0, 30) if self.rng.random() < 0.7 else 235
            view = np.full_like(view, plate)
        level = self._level(view, alpha, contrast)
        if level is None:
            return False
        self.pixels[here] = np.rint(view + (level - view) * alpha).clip(0, 255).astype(np.uint8)
        first = int(self.letters.max())
        mark = np.where((letters[part] > 0) & (alpha > 0.4), letters[part] + first, 0)
        self.letters[here] = np.where(mark > 0, mark, self.letters[here])
        for string, quad, size in lines:
            corners = quad + np.array([left, top], np.float32)
            self.texts.append(Text(string, corners, size))
            margin = max(5.0, 0.6 * size)
            self._claim(corners, margin)
        if ground:
            self.zone[max(0, y0 - 6) : y1 + 6, max(0, x0 - 6) : x1 + 6] = 1
        return True

    def _claim(self, corners: Pixels, margin: float) -> None:
        """Mark the ground of a line as text's."""
        line = np.zeros_like(self.zone)
        cv2.fillPoly(line, [np.rint(corners).astype(np.int32)], 1)
        reach = int(margin)
        box = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
        self.zone |= cv2.dilate(line, box)

    def _level(self, view: Pixels, alpha: Pixels, contrast: tuple[int, int]) -> float | None:
        """A grey that differs enough from all that it covers."""
        under = view[cv2.dilate((alpha > 0.3).astype(np.uint8), np.ones((5, 5))) > 0]
        low, high = np.percentile(under, (3, 97))
        least, most = contrast
        wanted = self.rng.uniform(least, most)
        faint = most < 60
        light = (np.mean(under) if faint else high) + wanted
        dark = (np.mean(under) if faint else low) - wanted
        choices = [level for level in (light, dark) if 0 <= level <= 255]
        if choices:
            # Software writes white where it can.
            return choices[0] if self.rng.random() < 0.75 else choices[-1]
        if faint:
            return None
        if high + least <= 255:
            return 255.0
        return 0.0 if low >= least else None


def _fonts(kind: str) -> list[str | None]:
    """Files of fonts; None for Pillow's own."""
    if kind == "handwritten":
        return [font_amatic_sc.AmaticSCBold, font_amatic_sc.AmaticSC, "script"]
    return [
        None,
        font_roboto.Roboto,
        font_roboto.RobotoBold,
        font_caladea.Caladea,
        font_caladea.CaladeaBold,
        "plain",
    ]


def _line(rng: np.random.Generator) -> str:
    """Something that may stand on an X-ray."""
    name = f"{rng.choice(FIRST.split(','))} {rng.choice(LAST.split(','))}"
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
        f"{rng.choice(PLACES.split(','))}",
        f"{name}, {date}",
    )
    return str(rng.choice(forms))


@dataclass(slots=True)
class _Style:
    """How text of a kind is written."""

    size: int
    lines: int = 1
    contrast: tuple[int, int] = (40, 200)
    angle: float = 0.0
    inside: float = 1.0
    smallest: int = 12


def _style(kind: str, rng: np.random.Generator) -> _Style:
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


def _write(canvas: _Canvas, kind: str) -> None:
    """Lines of text of a ``kind``, in one place or two."""
    rng = canvas.rng
    style, fonts = _style(kind, rng), _fonts(kind)
    twice = kind in ("anywhere", "turned", "small") and rng.random() < 0.4
    for _ in range(2 if twice else 1):
        file = fonts[rng.integers(len(fonts))]
        for _ in range(20):
            strings = [_line(rng) for _ in range(style.lines)]
            block = _block(
                strings, file, style.size, style.angle, wobble=kind == "handwritten", rng=rng
            )
            if all(np.less(block[0].shape, canvas.pixels.shape)):
                break
            style.size = max(style.smallest, style.size - 4)
        canvas.stamp(*block, contrast=style.contrast, inside=style.inside, ground=kind == "boxed")


def _write_beside_a_marker(canvas: _Canvas) -> None:
    """Lines of text that nearly touch a marker, which is larger and at times lighter."""
    rng = canvas.rng
    size = int(rng.integers(12, 25))
    strings = [_line(rng) for _ in range(int(rng.integers(1, 3)))]
    fonts = [file for file in _fonts("beside") if file != "plain"]
    file = fonts[rng.integers(len(fonts))]
    ink, letters, lines = _block(strings, file, size, 0.0, wobble=False, rng=rng)
    large = int(size * rng.uniform(2, 4))
    marker, _, _ = _block([str(rng.choice(MARKERS))], file, large, 0.0, wobble=False, rng=rng)
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


def _marker(canvas: _Canvas) -> None:
    """A laterality marker, or its like."""
    rng = canvas.rng
    size = int(rng.integers(20, 80))
    block = _block([str(rng.choice(MARKERS[:2]))], None, size, 0.0, wobble=False, rng=rng)
    canvas.stamp(*block, contrast=(80, 200))
    canvas.texts.clear()
    canvas.zone[:] = 0


def _block(
    strings: list[str],
    file: str | None,
    size: int,
    angle: float,
    *,
    wobble: bool,
    rng: np.random.Generator,
) -> tuple[Pixels, Pixels, list[tuple[str, Pixels, int]]]:
    """Lines as ink, letters, and where each of them stands."""
    drawn = [_drawn(string, file, size) for string in strings]
    gap = round(size * 0.25)
    pad = 2
    width = max(ink.shape[1] for ink, _ in drawn) + 2 * pad
    height = sum(ink.shape[0] + gap for ink, _ in drawn) + 2 * pad
    ink, letters = np.zeros((height, width), np.float32), np.zeros((height, width), np.int32)
    lines, top, first = [], pad, 0
    for string, (one, marks) in zip(strings, drawn, strict=True):
        tall, wide = one.shape
        ink[top : top + tall, pad : pad + wide] = one
        letters[top : top + tall, pad : pad + wide] = np.where(marks > 0, marks + first, 0)
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
        ink, letters = _wobbled(ink, letters, size, rng)
    return _rotated(ink, letters, lines, angle)


def _drawn(string: str, file: str | None, size: int) -> tuple[Pixels, Pixels]:
    """One line's ink, and the number of the letter that each column belongs to."""
    if file in ("plain", "script"):
        return _stroked(string, file, size)
    if file is None and not string.isascii():
        file = font_roboto.Roboto  # Pillow's own font lacks most accents.
    font = ImageFont.truetype(file, size) if file else ImageFont.load_default(size)
    width = int(np.ceil(font.getlength(string))) + 4
    image = Image.new("L", (width, round(size * 1.35)))
    ImageDraw.Draw(image).text((2, size), string, fill=255, font=font, anchor="ls")
    ends = [font.getlength(string[: n + 1]) for n in range(len(string))]
    return _with_marks(np.asarray(image, np.float32) / 255, ends)


def _stroked(string: str, style: str, size: int) -> tuple[Pixels, Pixels]:
    """One line in a plotter's strokes, as older devices write; it knows ASCII alone."""
    face = cv2.FONT_HERSHEY_SIMPLEX if style == "plain" else cv2.FONT_HERSHEY_SCRIPT_SIMPLEX
    string = "".join(c if ord(c) < 128 else "x" for c in string)
    scale, thick = size / 30, max(1, round(size / 14))
    ends = [cv2.getTextSize(string[: n + 1], face, scale, thick)[0][0] for n in range(len(string))]
    image = np.zeros((round(size * 1.5), ends[-1] + 8), np.uint8)
    cv2.putText(image, string, (3, round(size * 1.05)), face, scale, 255, thick, cv2.LINE_AA)
    return _with_marks(image.astype(np.float32) / 255, ends)


def _with_marks(ink: Pixels, ends: list[float]) -> tuple[Pixels, Pixels]:
    marks = np.searchsorted(np.array(ends) + 2, np.arange(ink.shape[1]), side="left") + 1
    marks = np.minimum(marks, len(ends))
    return ink, np.broadcast_to(marks.astype(np.int32), ink.shape).copy()


def _wobbled(
    ink: Pixels, letters: Pixels, size: int, rng: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """As a hand would write it."""
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


def _rotated(
    ink: Pixels, letters: Pixels, lines: list[tuple[str, Pixels, int]], angle: float
) -> tuple[Pixels, Pixels, list[tuple[str, Pixels, int]]]:
    """Turned by ``angle`` degrees, counterclockwise, and cut to what there is."""
    if angle == 0:
        return ink, letters, lines
    height, width = ink.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    wide, tall = int(np.ceil(height * sin + width * cos)), int(np.ceil(height * cos + width * sin))
    matrix[:, 2] += (wide - width) / 2, (tall - height) / 2
    turned = [
        (string, (quad @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32), size)
        for string, quad, size in lines
    ]
    ink = cv2.warpAffine(ink, matrix, (wide, tall), flags=cv2.INTER_LINEAR)
    marks = cv2.warpAffine(
        letters.astype(np.float32), matrix, (wide, tall), flags=cv2.INTER_NEAREST
    )
    return ink, marks.astype(np.int32), turned


_EAN_LEFT = "0001101 0011001 0010011 0111101 0100011 0110001 0101111 0111011 0110111 0001011"
"""The left half's bars of 0 to 9."""
_EAN_PARITY = "LLLLLL LLGLGG LLGGLG LLGGGL LGLLGG LGGLLG LGGGLL LGLGLG LGLGGL LGGLGL"
"""How the first digit shows in the next six."""


def _ean(digits: str) -> str:
    """The bars of EAN-13, 1 for black."""
    total = sum(int(d) * (3 if n % 2 else 1) for n, d in enumerate(digits))
    digits += str(-total % 10)
    left = _EAN_LEFT.split()
    bars = "101"
    for digit, parity in zip(digits[1:7], _EAN_PARITY.split()[int(digits[0])], strict=True):
        code = left[int(digit)]
        if parity == "G":
            code = "".join("10"[int(b)] for b in code)[::-1]
        bars += code
    bars += "01010"
    for digit in digits[7:]:
        bars += "".join("10"[int(b)] for b in left[int(digit)])
    return bars + "101"


def _code(canvas: _Canvas) -> None:
    """A QR code or a bar code on its white plate."""
    rng = canvas.rng
    if rng.random() < 0.5:
        string = _line(rng)
        code = cv2.QRCodeEncoder.create().encode(string)
        module = int(rng.integers(3, 7))
        dark = np.kron(code < 128, np.ones((module, module))).astype(np.float32)
    else:
        string = str(rng.integers(10**11, 10**12))
        module = int(rng.integers(2, 4))
        row = np.array([b == "1" for b in _ean(string)], np.float32)
        dark = np.kron(row, np.ones((int(rng.integers(30, 90)), module))).astype(np.float32)
    quiet = 4 * module
    dark = np.pad(dark, quiet)
    light = 1 - dark
    height, width = dark.shape
    quad = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    marks = np.ones((height, width), np.int32)
    top = int(rng.integers(0, canvas.pixels.shape[0] - height))
    left = int(rng.integers(0, canvas.pixels.shape[1] - width))
    here = (slice(top, top + height), slice(left, left + width))
    canvas.pixels[here] = np.rint(light * 235 + 10).astype(np.uint8)
    canvas.letters[here] = np.where(dark > 0.5, marks, 0)
    corners = quad + np.array([left, top], np.float32)
    canvas.texts.append(Text(string, corners, 12))
    canvas._claim(corners, 12)
