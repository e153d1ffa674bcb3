"""The kind ``edge``: text that crosses an edge from dark ground to bright."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from bench.corpus.chests import smooth_chest, stored
from bench.corpus.ink import ink_layer
from bench.corpus.sample import Sample, on_canvas
from bench.lettering import Pixels

_INKS = {"light": (235, 255), "dark": (0, 20), "grey": (105, 150)}
_SHAPES = ("collimator", "plate", "organ")
_LEAST = 40
"""The least contrast of the ink to each side, in grey levels."""


def draw(rng: np.random.Generator, index: int) -> Sample:
    """Draw a sample; the index chooses the ink and the form of the edge."""
    ink = list(_INKS)[index % len(_INKS)]
    shape = _SHAPES[index // len(_INKS) % len(_SHAPES)]
    chest = smooth_chest(rng, int(rng.integers(600, 1400)))
    layer = ink_layer(rng, chest.shape, sizes=(12, 40), lines=(1, 4))
    level = int(rng.integers(*_INKS[ink]))
    dark, bright = _grounds(rng, level)
    quads = np.concatenate([text.quad for text in layer.texts])
    bright_side = _bright_side(rng, shape, chest.shape, quads)
    ground = dark + (bright - dark) * bright_side
    # The anatomy shows faintly on both sides; the rest of the chest stays as it is.
    near = cv2.dilate(layer.zone, np.ones((61, 61))).astype(np.float32)
    near = cv2.GaussianBlur(near, (0, 0), 15)
    if shape == "plate":
        near = np.maximum(near, bright_side)
    elif shape == "collimator":
        near = np.maximum(near, 1 - bright_side)
    texture = (chest - cv2.GaussianBlur(chest, (0, 0), 20)) * rng.uniform(0, 60)
    bare = chest * 220 * (1 - near) + (ground + texture) * near
    bare += rng.normal(0, rng.uniform(0, 2.5), bare.shape)
    shown = bare + (level - bare) * (layer.pixels / 255)
    picture = stored(np.rint(shown).clip(0, 255).astype(np.uint8), rng)
    grey = Image.fromarray(np.rint(bare).clip(0, 255).astype(np.uint8))
    return on_canvas("edge", f"{ink} on {shape}", picture, grey, layer)


def _grounds(rng: np.random.Generator, ink: int) -> tuple[float, float]:
    """Return the grey levels of the dark and of the bright side."""
    while True:
        dark, bright = rng.uniform(0, 110), rng.uniform(120, 255)
        if min(abs(dark - ink), abs(bright - ink)) >= _LEAST and bright - dark >= 70:
            return dark, bright


def _bright_side(
    rng: np.random.Generator, form: str, shape: tuple[int, ...], quads: Pixels
) -> Pixels:
    """Return 1 on the bright side of an edge through the text and 0 on the other."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    (left, top), (right, bottom) = quads.min(axis=0), quads.max(axis=0)
    at = (
        left + rng.uniform(0.25, 0.75) * (right - left),
        top + rng.uniform(0.3, 0.7) * (bottom - top),
    )
    if form == "plate":
        wide, tall = rng.uniform(150, 400), rng.uniform(60, 250)
        corner = int(rng.integers(4))
        inside = (x >= at[0] - wide * (corner % 2)) & (x <= at[0] + wide * (1 - corner % 2))
        inside &= (y >= at[1] - tall) & (y <= at[1] + tall)
        return inside.astype(np.float32)
    if form == "organ":
        reach = rng.uniform(100, 500)
        angle = rng.uniform(0, 2 * np.pi)
        away = np.hypot(x - at[0] - reach * np.cos(angle), y - at[1] - reach * np.sin(angle))
        side: Pixels = (away < reach).astype(np.float32)
        return cv2.GaussianBlur(side, (0, 0), float(rng.uniform(1, 6)))
    angle = rng.choice([0, 0.5, 1, 1.5]) * np.pi + rng.choice([0, rng.uniform(-0.5, 0.5)])
    side = ((x - at[0]) * np.cos(angle) + (y - at[1]) * np.sin(angle) > 0).astype(np.float32)
    return cv2.GaussianBlur(side, (0, 0), float(rng.uniform(0.3, 2)))
