"""Images as redaction leaves them: lines of text, codes and labels are drawn anew, or stay empty.

The patches are made as in :mod:`xray.redaction`, by the same fill, but at random places: no text is
searched.
"""

from __future__ import annotations

import cv2
import numpy as np

from xray.redaction import filled

LARGER = 3
"""The factor by which an image is enlarged before it is filled: letters of a full-size X-ray are
smaller than a pixel of the network's input."""


def patched(images: np.ndarray, *, seed: int) -> np.ndarray:
    """Return ``images`` with random patches.

    Args:
        images: uint8, shape (n, size, size, 1).
        seed: for the number, the places and the kinds of the patches.
    """
    rng = np.random.default_rng(seed)
    result: np.ndarray = np.stack([_patched(image[..., 0], rng) for image in images])
    return result[..., None]


def _patched(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one image, shape (size, size), with up to three groups of patches."""
    size = len(image) * LARGER
    large = cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)
    drawn, mask = large.copy(), np.zeros_like(large)
    for _ in range(rng.integers(1, 4)):
        if rng.random() < 0.2:
            _label(drawn, rng)
        else:
            _lines(mask, rng)
    drawn = filled(drawn, mask)
    # Only the difference is reduced again, so that all other pixels stay as they are.
    moved = drawn.astype(np.float32) - large
    small = cv2.resize(moved, image.shape, interpolation=cv2.INTER_AREA)
    return np.rint(image + small).clip(0, 255).astype(np.uint8)


def _lines(mask: np.ndarray, rng: np.random.Generator) -> None:
    """Mark one to six lines of text below each other, turned or not; or a code."""
    size = len(mask)
    if rng.random() < 0.25:
        wide, tall = rng.uniform(0.06, 0.35), rng.uniform(0.05, 0.15)
        _mark(mask, _at(wide, rng), _at(tall, rng), wide, tall, rng, 1)
        return
    tall, count = rng.uniform(0.012, 0.06), rng.integers(1, 5)
    left, top = rng.uniform(-0.05, 0.85), rng.uniform(-0.02, 0.97)
    part = np.zeros_like(mask)
    for _ in range(count):
        _mark(part, left, top, rng.uniform(0.06, 0.45), tall, rng, 1)
        top += tall * rng.uniform(1.0, 1.5)
    turns = {0.15: 90, 0.3: float(rng.uniform(-30, 30))}
    chance = rng.random()
    angle = next((by for share, by in turns.items() if chance < share), 0)
    turn = cv2.getRotationMatrix2D((size / 2, size / 2), angle, 1)
    mask |= cv2.warpAffine(part, turn, mask.shape, flags=cv2.INTER_NEAREST)


def _label(image: np.ndarray, rng: np.random.Generator) -> None:
    """Draw the plate of a label: light, dark or of any grey level, without its text."""
    wide, tall = rng.uniform(0.05, 0.4), rng.uniform(0.03, 0.16)
    chance = rng.random()
    grey = 255 if chance < 0.4 else 0 if chance < 0.6 else int(rng.integers(256))
    _mark(image, _at(wide, rng), _at(tall, rng), wide, tall, rng, grey)


def _at(length: float, rng: np.random.Generator) -> float:
    """Return where a patch of this length begins, all in shares of a side."""
    return float(rng.uniform(-0.02, 1.02 - length))


def _mark(
    pixels: np.ndarray,
    left: float,
    top: float,
    wide: float,
    tall: float,
    rng: np.random.Generator,
    value: int,
) -> None:
    """Set a rectangle, in shares of a side, to ``value``."""
    size = len(pixels)
    x, y = max(0, round(left * size)), max(0, round(top * size))
    right, bottom = max(0, round((left + wide) * size)), max(0, round((top + tall) * size))
    pixels[y:bottom, x:right] = value
