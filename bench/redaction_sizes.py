"""The CPU seconds and the memory of a process that redacts one picture, by its size.

The pictures are a chest of the demo, enlarged up to the largest picture that ``max_pixels`` lets
in, and a grainy one: a bright speck of 2 x 2 px in every cell of 14 x 14 px, as in scanned film.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.corpus import IMAGES
from xray.image import Limits

SIZES = ((1000, 800), (1500, 1200), (2500, 2000), (4000, 3500))
"""Widths and heights in pixels."""
SPECKLE = (4183, 3347)
"""Width and height of the grainy picture: 14 megapixels."""
_CELL = 14
_PROBE = """
import resource, sys, time
from PIL import Image
from xray.redaction import redact
Image.MAX_IMAGE_PIXELS = None
image = Image.open(sys.argv[1])
image.load()
redact(image.resize((200, 160)))
before = time.process_time()
redact(image)
print(time.process_time() - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def costs() -> list[dict[str, Any]]:
    """Return the figures of each picture."""
    height = int(sqrt(Limits().max_pixels / 1.25))
    pictures = [("chest", size) for size in (*SIZES, (int(height * 1.25), height))]
    return [_cost(name, *size) for name, size in [*pictures, ("speckle", SPECKLE)]]


def _cost(name: str, width: int, height: int) -> dict[str, Any]:
    picture = speckled(width, height) if name == "speckle" else _chest(width, height)
    with tempfile.TemporaryDirectory(prefix="xray-bench-") as folder:
        path = Path(folder) / "picture.png"
        picture.save(path, compress_level=1)
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, str(path)], capture_output=True, text=True, check=True
        )
    seconds, mib = (float(n) for n in done.stdout.split())
    return {
        "picture": name,
        "width": width,
        "height": height,
        "cpu_seconds": round(seconds, 2),
        "mib": round(mib),
    }


def _chest(width: int, height: int) -> Image.Image:
    with Image.open(sorted(IMAGES.rglob("*.jpeg"))[0]) as image:
        return image.convert("L").resize((width, height))


def speckled(width: int, height: int) -> Image.Image:
    """Return a chest-like gradient with a bright speck at a random place of every cell."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    levels = 60 + 90 * np.exp(-((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * 4)
    tops, lefts = np.mgrid[: height - _CELL : _CELL, : width - _CELL : _CELL]
    tops = tops + rng.integers(0, _CELL - 3, tops.shape)
    lefts = lefts + rng.integers(0, _CELL - 3, lefts.shape)
    for down, right in np.ndindex(2, 2):
        levels[tops + down, lefts + right] += 70
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


if __name__ == "__main__":
    print(json.dumps(costs(), indent=1))
