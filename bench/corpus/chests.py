"""Chests without text: the demo's, of other sizes and tones."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from bench.lettering import Pixels
from xray.redaction import masked

IMAGES = Path(__file__).resolve().parents[2] / "include" / "demo" / "images"
CORNER = (320, 104)
"""Width and height in pixels of the bottom left corner of a demo image, with its own text."""


def chest(rng: np.random.Generator) -> Image.Image:
    """Return a chest of another size and tone, in mode L."""
    image = _chests()[rng.integers(len(_chests()))]
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scale = rng.uniform(0.75, 1.75)
    size = round(image.width * scale), round(image.height * scale * rng.uniform(0.95, 1.15))
    pixels = np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32) / 255
    pixels = pixels ** rng.uniform(0.75, 1.35) * rng.uniform(0.8, 1)
    noise = rng.normal(0, rng.uniform(0, 3), pixels.shape)
    return Image.fromarray(np.rint(pixels * 255 + noise).clip(0, 255).astype(np.uint8))


def smooth_chest(rng: np.random.Generator, side: int) -> Pixels:
    """Return a chest as values from 0 to 1 without noise, float32.

    Args:
        rng: the source of its looks.
        side: the shorter side, in pixels.
    """
    image = _chests()[rng.integers(len(_chests()))]
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scale = side / image.height
    size = round(image.width * scale), side
    values = np.asarray(image.convert("F").resize(size, Image.Resampling.BICUBIC)) / 255
    tone: Pixels = (values.clip(0, 1) ** rng.uniform(0.75, 1.35)).astype(np.float32)
    return tone


def stored(pixels: Pixels, rng: np.random.Generator) -> Image.Image:
    """Return the image as it comes from a file; most are compressed as JPEG first."""
    image = Image.fromarray(pixels)
    if rng.random() < 0.3:
        return image
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=int(rng.integers(80, 97)))
    return Image.open(stream).convert("L")


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
