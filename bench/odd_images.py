"""Images that are no upright chest X-ray: drawn ones, and those that Python packages ship.

The gate of the model was fitted on X-rays only: none of these images was used for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import skimage
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from pydicom.data import get_testdata_file

from xray.image import decode

SIDE = 400
"""Side of a drawn image, in pixels."""
EACH = 20
"""Number of images of each drawn kind."""
PHOTOGRAPHS = [
    "astronaut.png",
    "brick.png",
    "camera.png",
    "cell.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
]
DRAWINGS = [
    "horse.png",
    "logo.png",
    "page.png",
    "text.png",
    "chessboard_GRAY.png",
    "color.png",
    "phantom.png",
]
SCANS = [
    "CT_small.dcm",
    "MR_small.dcm",
    "examples_rgb_color.dcm",
    "examples_ybr_color.dcm",
    "examples_palette.dcm",
]

Draw = Callable[[np.random.Generator], Image.Image]


def kinds(seed: int = 1) -> dict[str, list[Image.Image]]:
    """Return images by kind, the same for the same ``seed``."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Draw] = {
        "hand": hand,
        "skull": skull,
        "limb": limb,
        "noise": noise,
        "blank": blank,
        "gradient": gradient,
        "page of text": page,
        "chart": chart,
    }
    found = {name: [draw(rng) for _ in range(EACH)] for name, draw in drawn.items()}
    found["photograph"] = [_part(_shipped(name), rng) for name in PHOTOGRAPHS for _ in range(4)]
    found["drawing"] = [_part(_shipped(name), rng) for name in DRAWINGS for _ in range(2)]
    faces = np.load(_folder() / "lfw_subset.npy")[:100:5]
    found["face"] = [_grey(255 * face / face.max()) for face in faces]
    found["scan of another kind"] = [_scan(name) for name in SCANS]
    return found


def hand(rng: np.random.Generator) -> Image.Image:
    """Draw something like the X-ray of a hand."""
    image, draw = _canvas(10)
    middle, top = SIDE * (0.5 + rng.uniform(-0.06, 0.06)), SIDE * rng.uniform(0.45, 0.55)
    draw.rounded_rectangle(
        [middle - SIDE * 0.18, top, middle + SIDE * 0.18, SIDE * 0.85], SIDE * 0.06, fill=95
    )
    draw.rectangle([middle - SIDE * 0.1, SIDE * 0.8, middle + SIDE * 0.1, SIDE], fill=95)
    for finger in range(-2, 3):
        turn = np.radians(-90 + finger * rng.uniform(12, 17))
        length = SIDE * (0.32 if abs(finger) == 2 else 0.42)
        x, y = middle + finger * SIDE * 0.08, top + SIDE * 0.03
        tip = x + length * np.cos(turn), y + length * np.sin(turn)
        draw.line([(x, y), tip], fill=95, width=round(SIDE * 0.07))
        draw.line([(x, y + SIDE * 0.25), tip], fill=190, width=round(SIDE * 0.03))
    return _exposed(image.rotate(rng.uniform(-15, 15)), rng)


def skull(rng: np.random.Generator) -> Image.Image:
    """Draw something like the X-ray of a skull from the front."""
    image, draw = _canvas(8)
    middle, half = SIDE * (0.5 + rng.uniform(-0.04, 0.04)), SIDE * rng.uniform(0.33, 0.4)
    draw.ellipse([middle - half, SIDE * 0.05, middle + half, SIDE * 0.75], fill=200)
    inner = half * 0.92
    draw.ellipse([middle - inner, SIDE * 0.08, middle + inner, SIDE * 0.72], fill=140)
    jaw = half * 0.6
    draw.rounded_rectangle(
        [middle - jaw, SIDE * 0.55, middle + jaw, SIDE * 0.95], SIDE * 0.08, fill=150
    )
    for side in (-1, 1):
        eye = middle + side * half * 0.42
        draw.ellipse([eye - SIDE * 0.09, SIDE * 0.42, eye + SIDE * 0.09, SIDE * 0.55], fill=70)
    for tooth in range(-4, 5):
        x = middle + tooth * SIDE * 0.035
        draw.rectangle([x - SIDE * 0.012, SIDE * 0.74, x + SIDE * 0.012, SIDE * 0.82], fill=235)
    return _exposed(image, rng)


def limb(rng: np.random.Generator) -> Image.Image:
    """Draw something like the X-ray of a leg."""
    image, draw = _canvas(12)
    middle, half = SIDE * rng.uniform(0.4, 0.6), SIDE * rng.uniform(0.14, 0.22)
    draw.rectangle([middle - half, 0, middle + half, SIDE], fill=80)
    for x, width in ((middle - half * 0.3, 0.4), (middle + half * 0.5, 0.2)):
        draw.rectangle([x - half * width, 0, x + half * width, SIDE], fill=200)
        draw.rectangle([x - half * width / 2, 0, x + half * width / 2, SIDE], fill=150)
    return _exposed(image.rotate(rng.uniform(-20, 20)), rng)


def noise(rng: np.random.Generator) -> Image.Image:
    """Draw noise, from grain to soft clouds."""
    grain = Image.fromarray(rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8))
    soft = np.asarray(grain.filter(ImageFilter.GaussianBlur(rng.uniform(0, 25))), float)
    return _grey((soft - soft.min()) / np.ptp(soft) * 255)


def blank(rng: np.random.Generator) -> Image.Image:
    """Draw a single shade of grey with little noise."""
    return _grey(rng.normal(rng.uniform(0, 255), rng.uniform(0, 3), (SIDE, SIDE)))


def gradient(rng: np.random.Generator) -> Image.Image:
    """Draw a gradient, dark on one side and light on the other."""
    across, down = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE))
    turn = rng.uniform(0, 2 * np.pi)
    return _grey(128 + 90 * (across * np.cos(turn) + down * np.sin(turn)))


def page(rng: np.random.Generator) -> Image.Image:
    """Draw lines of letters, as on a scanned report."""
    image, draw = _canvas(245)
    size = int(rng.integers(9, 20))
    font = ImageFont.load_default(size)
    for top in range(20, SIDE - 20, int(size * 1.5)):
        letters = rng.choice(list("abcdefghilmnoprstu     "), int(rng.integers(20, 60)))
        draw.text((20, top), "".join(letters), fill=15, font=font)
    return image


def chart(rng: np.random.Generator) -> Image.Image:
    """Draw a bar chart with axes."""
    image, draw = _canvas(255)
    draw.line([40, 20, 40, SIDE - 40, SIDE - 20, SIDE - 40], fill=0, width=3)
    bars = int(rng.integers(4, 10))
    wide = (SIDE - 80) // bars
    for bar in range(bars):
        x = 50 + bar * wide
        top = rng.uniform(0.1, 0.9) * (SIDE - 60)
        draw.rectangle([x, top, x + wide * 0.7, SIDE - 42], fill=int(rng.integers(40, 200)))
    return image


def _canvas(shade: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (SIDE, SIDE), shade)
    return image, ImageDraw.Draw(image)


def _exposed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    soft = np.asarray(image.filter(ImageFilter.GaussianBlur(SIDE * 0.007)), float)
    return _grey(soft * rng.uniform(0.8, 1.25) + rng.normal(0, 4, (SIDE, SIDE)))


def _grey(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.rint(np.clip(values, 0, 255)).astype(np.uint8))


def _folder() -> Path:
    return Path(skimage.__file__).parent / "data"


def _shipped(name: str) -> Image.Image:
    return decode((_folder() / name).read_bytes()).eight_bit()


def _part(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a random part of the image, at least half as wide and half as high."""
    width, height = (round(side * rng.uniform(0.5, 1)) for side in image.size)
    x, y = (
        int(rng.integers(0, n - k + 1)) for n, k in zip(image.size, (width, height), strict=True)
    )
    return image.crop((x, y, x + width, y + height))


def _scan(name: str) -> Image.Image:
    from pydicom import dcmread

    values = dcmread(get_testdata_file(name)).pixel_array.astype(float)
    if values.ndim == 4:
        values = values[0]
    if values.ndim == 3:
        values = values.mean(axis=2)
    return _grey((values - values.min()) / max(1.0, np.ptp(values)) * 255)
