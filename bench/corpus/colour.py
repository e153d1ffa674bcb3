"""The kind ``colour``: text in hue or in transparency alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from bench.canvas import Canvas
from bench.corpus import files
from bench.corpus.chests import smooth_chest
from bench.corpus.ink import ink_layer, with_strip
from bench.corpus.sample import Sample, on_canvas
from bench.lettering import Pixels

_LUMA = np.array([19595, 38470, 7471])
"""The weights of red, green and blue in a grey level, of 65536, as in Pillow."""
_STEPS = 4
"""The number of steps from the ground's colour to the ink's."""


def draw(rng: np.random.Generator, index: int) -> Sample:
    """Draw a sample; the index chooses how its text is hidden."""
    variant = list(_VARIANTS)[index % len(_VARIANTS)]
    data, bare, canvas = _VARIANTS[variant](rng)
    return on_canvas("colour", variant, data, Image.fromarray(bare), canvas)


_Drawn = tuple[bytes, Pixels, Canvas]
"""The file, the grey ground (uint8), and the canvas with the ink."""


def _ground(rng: np.random.Generator, flat: bool) -> tuple[Pixels, Canvas]:
    """Return a chest in grey levels of 70 to 190, and a canvas with text on it.

    Args:
        rng: the source of both.
        flat: whether the text stands on a strip of one level.
    """
    chest = smooth_chest(rng, int(rng.integers(700, 1300))) * 120 + 70
    chest = (chest + rng.normal(0, 1, chest.shape)).clip(70, 190)
    region = None
    if flat:
        chest, region = with_strip(chest, int(rng.integers(80, 180)), rng)
    grey = np.rint(chest).astype(np.uint8)
    return grey, ink_layer(rng, grey.shape, region)


def _direction(rng: np.random.Generator, hue: float | None = None) -> Pixels:
    """Return a change of colour that keeps the luma; its highest minus its lowest value is 1."""
    first = np.cross(_LUMA / 65536, [0, 0, 1])
    second = np.cross(_LUMA / 65536, first)
    hue = rng.uniform(0, 2 * np.pi) if hue is None else hue
    change = np.cos(hue) * first / np.linalg.norm(first)
    change = change + np.sin(hue) * second / np.linalg.norm(second)
    unit: Pixels = change / np.ptp(change)
    return unit


def _tinted(change: Pixels) -> Pixels:
    """Return the colour for each grey level after a ``change``, with exactly its luma: (256, 3)."""
    grey = np.arange(256)
    best = np.rint(grey[:, None] + change).clip(0, 255).astype(int)
    missing = np.full(256, 256)
    result = best.copy()
    for step in np.ndindex(3, 3, 3):
        colour = (best + np.array(step) - 1).clip(0, 255)
        # Both the luma and the distance from the wanted colour count.
        off = np.abs(((colour @ _LUMA + 0x8000) >> 16) - grey) * 8
        off += np.abs(np.array(step) - 1).sum()
        result[off < missing] = colour[off < missing]
        missing = np.minimum(missing, off)
    return result.astype(np.uint8)


def _painted(grey: Pixels, canvas: Canvas, ground: Pixels, ink: Pixels) -> Pixels:
    """Return the picture in colour; ``ground`` and ``ink`` are changes of colour."""
    share = np.rint(canvas.pixels / 255 * _STEPS).astype(int)
    tables = np.stack([_tinted(ground + (ink - ground) * n / _STEPS) for n in range(_STEPS + 1)])
    painted: Pixels = tables[share, grey]
    return painted


def _stored(rng: np.random.Generator, pixels: Pixels, *, lossy: bool) -> bytes:
    """Return the picture as PNG or DICOM, or as JPEG if ``lossy``."""
    if lossy:
        return files.raster(
            pixels, "JPEG", quality=int(rng.integers(90, 97)), subsampling=int(rng.choice([0, 2]))
        )
    return files.raster(pixels, "PNG") if rng.random() < 0.7 else files.dicom(pixels)


def _luma(rng: np.random.Generator, *, flat: bool, strong: bool) -> _Drawn:
    """Coloured ink on grey, with equal luma."""
    grey, canvas = _ground(rng, flat)
    strength = rng.uniform(50, 110) if strong else rng.uniform(12, 47)
    pixels = _painted(grey, canvas, np.zeros(3), _direction(rng) * strength)
    return _stored(rng, pixels, lossy=strong and rng.random() < 0.4), grey, canvas


def _strength(rng: np.random.Generator, *, flat: bool) -> _Drawn:
    """Ink of another hue on a tinted ground, with equal luma and equal strength."""
    grey, canvas = _ground(rng, flat)
    strength, hue = rng.uniform(15, 100), rng.uniform(0, 2 * np.pi)
    other = hue + rng.uniform(0.5, 1) * np.pi
    pixels = _painted(
        grey, canvas, _direction(rng, hue) * strength, _direction(rng, other) * strength
    )
    return _stored(rng, pixels, lossy=False), grey, canvas


def _blue(rng: np.random.Generator) -> _Drawn:
    """Ink that changes the blue channel alone."""
    grey, canvas = _ground(rng, flat=rng.random() < 0.5)
    change = int(rng.integers(12, 50)) * int(rng.choice([-1, 1]))
    pixels = np.repeat(grey[..., None], 3, axis=2)
    pixels[..., 2] = np.rint(grey + canvas.pixels / 255.0 * change)
    return _stored(rng, pixels, lossy=False), grey, canvas


def _bright(rng: np.random.Generator) -> tuple[Pixels, Canvas]:
    """Return a chest with a bright strip of one level, and a canvas with text on the strip."""
    chest = np.rint(smooth_chest(rng, int(rng.integers(700, 1300))) * 220)
    grey, region = with_strip(chest, int(rng.integers(180, 256)), rng)
    return grey.astype(np.uint8), ink_layer(rng, grey.shape, region)


def _alpha(rng: np.random.Generator, mode: str) -> _Drawn:
    """Ink that is nearly opaque, on an opaque ground."""
    grey, canvas = _bright(rng)
    alpha = np.where(canvas.pixels > 127, rng.integers(250, 255), 255).astype(np.uint8)
    bands = [grey] * (len(mode) - 1) + [alpha]
    image = Image.merge(mode, [Image.fromarray(band) for band in bands])
    return files.raster(image, "PNG"), grey, canvas


def _key(rng: np.random.Generator, mode: str) -> _Drawn:
    """Ink in the colour that the file declares as transparent, one level from the ground."""
    grey, canvas = _bright(rng)
    key = int(np.median(grey[canvas.zone > 0])) - 1
    shown = np.where(canvas.pixels > 127, key, np.where(grey == key, key - 1, grey))
    image = Image.fromarray(shown.astype(np.uint8)).convert(mode)
    data = files.raster(image, "PNG", transparency=key if mode == "L" else (key,) * 3)
    return data, grey, canvas


_VARIANTS: dict[str, Callable[[np.random.Generator], _Drawn]] = {
    "weak hue": lambda rng: _luma(rng, flat=True, strong=False),
    "strong hue": lambda rng: _luma(rng, flat=True, strong=True),
    "weak hue on anatomy": lambda rng: _luma(rng, flat=False, strong=False),
    "strong hue on anatomy": lambda rng: _luma(rng, flat=False, strong=True),
    "equal strength": lambda rng: _strength(rng, flat=True),
    "equal strength on anatomy": lambda rng: _strength(rng, flat=False),
    "blue": _blue,
    "alpha RGBA": lambda rng: _alpha(rng, "RGBA"),
    "alpha LA": lambda rng: _alpha(rng, "LA"),
    "colour key": lambda rng: _key(rng, str(rng.choice(["L", "RGB"]))),
}
"""The ways to hide text; each has the same number of samples."""
