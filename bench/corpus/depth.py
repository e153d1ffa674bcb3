"""The kind ``depth``: text that a look at 8 bits does not show, or hardly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from bench.canvas import Canvas
from bench.corpus import files
from bench.corpus.chests import smooth_chest
from bench.corpus.ink import Region, ink_layer, with_strip
from bench.corpus.sample import Sample, on_canvas
from bench.lettering import Pixels

_Drawn = tuple[bytes, Pixels, Canvas]
"""The file, the chest without text (0 to 1), and the canvas with the ink."""


def draw(rng: np.random.Generator, index: int) -> Sample:
    """Draw a sample; the index chooses how its text is hidden."""
    variant = list(_VARIANTS)[index % len(_VARIANTS)]
    data, bare, canvas = _VARIANTS[variant](rng)
    grey = Image.fromarray(np.rint(bare.clip(0, 1) * 255).astype(np.uint8))
    return on_canvas("depth", variant, data, grey, canvas)


def _chest(rng: np.random.Generator, noise: float = 0.006) -> Pixels:
    """Return a chest from 0 to 1, with the noise of a detector."""
    chest = smooth_chest(rng, int(rng.integers(700, 1300))) * rng.uniform(0.75, 0.95) + 0.02
    noisy: Pixels = (chest + rng.normal(0, noise, chest.shape)).clip(0, 1)
    return noisy


def _ink(canvas: Canvas) -> Pixels:
    ink: Pixels = canvas.pixels.astype(np.float64) / 255
    return ink


def _lettered(
    rng: np.random.Generator, chest: Pixels, region: Region | None = None
) -> tuple[Pixels, Canvas]:
    """Return the chest with text of an ordinary contrast in a region, and its canvas."""
    canvas = ink_layer(rng, chest.shape, region)
    level = 1.0 if rng.random() < 0.75 else 0.0
    ink = _ink(canvas)
    under = chest[ink > 0.3]
    if level and np.percentile(under, 97) > 0.75:
        level = 0.0
    if not level and np.percentile(under, 3) < 0.25:
        level = 1.0
    return chest + (level - chest) * ink, canvas


def _low_byte(rng: np.random.Generator) -> _Drawn:
    """Text in the low byte alone."""
    chest = _chest(rng)
    canvas = ink_layer(rng, chest.shape)
    high = np.rint(chest * 255).astype(np.uint16)
    low = np.rint(_ink(canvas) * rng.integers(20, 256)).astype(np.uint16)
    return files.raster(high * 256 + low, "PNG"), chest, canvas


def _near_black(rng: np.random.Generator) -> _Drawn:
    """Text of 40 to 1,500 of 65,535 above a black border."""
    chest, region = with_strip(_chest(rng), 0.0, rng)
    canvas = ink_layer(rng, chest.shape, region)
    height = np.exp(rng.uniform(np.log(40), np.log(1500)))
    noise = rng.choice([0, height / 12])
    values = chest * 65535 + _ink(canvas) * height + rng.normal(0, noise, chest.shape)
    values = np.rint(values.clip(0, 65535)).astype(np.uint16)
    return (
        (files.raster(values, "PNG") if rng.random() < 0.6 else files.dicom(values)),
        chest,
        canvas,
    )


def _hot_pixel(rng: np.random.Generator) -> _Drawn:
    """A few bright pixels flatten the rest."""
    chest = _chest(rng)
    shown, canvas = _lettered(rng, chest)
    values = np.rint(shown * rng.choice([255, 700, 1023, 4095])).astype(np.uint16)
    for _ in range(int(rng.integers(1, 4))):
        values[rng.integers(values.shape[0]), rng.integers(values.shape[1])] = 65535
    if rng.random() < 0.5:
        return files.raster(values, "PNG"), chest, canvas
    return files.dicom(values), chest, canvas


def _sentinel(rng: np.random.Generator) -> _Drawn:
    """An area of one far value flattens the rest."""
    chest, _ = with_strip(_chest(rng), 2.0, rng)
    rows, columns = np.nonzero(chest <= 1)
    region = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    shown, canvas = _lettered(rng, chest, region)
    values = np.rint(shown * rng.choice([700, 1023, 3000]))
    values[chest > 1] = 65535
    return files.raster(values.astype(np.uint16), "PNG"), chest, canvas


def _signed(rng: np.random.Generator) -> _Drawn:
    """Signed DICOM without a window; its values use a small part of 16 bits."""
    chest = _chest(rng)
    shown, canvas = _lettered(rng, chest)
    low, span = [(-30, 275), (-1024, 3000), (-100, 700), (-2000, 1500)][rng.integers(4)]
    return files.dicom(np.rint(low + shown * span).astype(np.int16)), chest, canvas


def _padded(rng: np.random.Generator) -> _Drawn:
    """DICOM with a padding value outside of the picture, and no window."""
    chest = _chest(rng)
    shown, canvas = _lettered(rng, chest)
    signed = rng.random() < 0.5
    low, span, padding = (-500, 2000, -32768) if signed else (1000, 2500, 65535)
    values = np.rint(low + shown * span).astype(np.int16 if signed else np.uint16)
    edge = int(rng.integers(20, 60))
    frame = np.ones(values.shape, bool)
    frame[edge:-edge, edge:-edge] = False
    values[frame & ~canvas.zone.astype(bool)] = padding
    return files.dicom(values, PixelPaddingValue=padding), chest, canvas


def _shoulder(
    rng: np.random.Generator, elements: Callable[[np.random.Generator], dict[str, object]]
) -> _Drawn:
    """Text where the curve of a DICOM file is nearly flat: at its upper or at its lower end."""
    upper = rng.random() < 0.5
    ground, ink = (rng.integers(3650, 3850), 4095) if upper else (rng.integers(150, 330), 0)
    plain = _chest(rng) * 2600 + 700
    values, region = with_strip(plain, ground, rng)
    canvas = ink_layer(rng, values.shape, region)
    bare = values / 4095
    values = values + (ink - values) * _ink(canvas)
    polarity = rng.choice(["MONOCHROME1", "MONOCHROME2"])
    data = files.dicom(
        np.rint(values.clip(0, 4095)).astype(np.uint16),
        BitsStored=12,
        PhotometricInterpretation=str(polarity),
        **elements(rng),
    )
    return data, (1 - bare if polarity == "MONOCHROME1" else bare), canvas


def _sigmoid(rng: np.random.Generator) -> _Drawn:
    """The shoulders of a sigmoid window."""
    return _shoulder(
        rng,
        lambda rng: {
            "WindowCenter": "2048",
            "WindowWidth": str(rng.integers(1000, 1500)),
            "VOILUTFunction": "SIGMOID",
        },
    )


def _lookup_table(rng: np.random.Generator) -> _Drawn:
    """The shoulders of a lookup table."""

    def elements(rng: np.random.Generator) -> dict[str, object]:
        end = rng.uniform(40, 400)
        table = np.interp(np.arange(4096), [0, 600, 3500, 4095], [0, end, 65535 - end, 65535])
        return {"VOILUTSequence": files.lookup_table(np.rint(table))}

    return _shoulder(rng, elements)


def _float(rng: np.random.Generator) -> _Drawn:
    """Float TIFF with outliers."""
    chest = _chest(rng)
    shown, canvas = _lettered(rng, chest)
    values = (shown * rng.choice([1, 255, 4095])).astype(np.float32)
    top = values.max() * np.exp(rng.uniform(np.log(8), np.log(1500)))
    for _ in range(int(rng.integers(1, 6))):
        at = rng.integers(values.shape[0]), rng.integers(values.shape[1])
        values[at] = top * rng.choice([-1, 1])
    return files.raster(values, "TIFF"), chest, canvas


def _integer(rng: np.random.Generator) -> _Drawn:
    """TIFF of 32-bit integers, whose range is far larger than the picture's."""
    chest = _chest(rng)
    shown, canvas = _lettered(rng, chest)
    values = np.rint(shown * rng.choice([1023, 4095])).astype(np.int32)
    values[rng.integers(values.shape[0]), rng.integers(values.shape[1])] = rng.choice(
        [-(10**5), 10**5, 10**6]
    )
    return files.raster(values, "TIFF"), chest, canvas


def _faint(
    rng: np.random.Generator,
    level: int,
    *,
    noise: float = 0.0,
    slope: float = 0.0,
    form: str = "PNG",
) -> _Drawn:
    """Text a few grey levels above or below a nearly uniform ground.

    Args:
        rng: the source of the picture.
        level: of the ground.
        noise: its deviation in grey levels.
        slope: the most that the ground rises over the whole picture, in grey levels.
        form: the format of the file.
    """
    plain = not noise and not slope and form == "PNG"
    height = int(rng.integers(2 if plain else 4, 6))
    if level > 250 or (level >= height and rng.random() < 0.4):
        height = -height
    chest, region = with_strip(_chest(rng), level / 255, rng)
    canvas = ink_layer(rng, chest.shape, region)
    rise = np.linspace(0, rng.uniform(0, slope), chest.shape[1])
    values = chest * 255 + rise + _ink(canvas) * height + rng.normal(0, noise, chest.shape)
    options = {"quality": int(rng.integers(93, 99))} if form == "JPEG" else {}
    pixels = np.rint(values).clip(0, 255).astype(np.uint8)
    return files.raster(pixels, form, **options), chest, canvas


_VARIANTS: dict[str, Callable[[np.random.Generator], _Drawn]] = {
    "low byte": _low_byte,
    "near black": _near_black,
    "hot pixel": _hot_pixel,
    "sentinel": _sentinel,
    "signed": _signed,
    "padded": _padded,
    "sigmoid": _sigmoid,
    "lookup table": _lookup_table,
    "float": _float,
    "integer": _integer,
    "faint on black": lambda rng: _faint(rng, 0),
    "faint on grey": lambda rng: _faint(rng, int(rng.integers(5, 256))),
    "faint in noise": lambda rng: _faint(rng, int(rng.integers(0, 240)), noise=0.6),
    "faint in JPEG": lambda rng: _faint(rng, int(rng.integers(0, 240)), form="JPEG"),
    "faint on a slope": lambda rng: _faint(rng, int(rng.integers(0, 180)), slope=60),
}
"""The ways to hide text; each has the same number of samples."""
