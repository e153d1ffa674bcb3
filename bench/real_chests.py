"""Real chest X-rays below the masks of the redaction's benchmark.

The chests of the corpus are made up, and the model's risk of a healthy one is often neither low nor
high. There, a risk changes most. The same masks are therefore filled on real X-rays as well, which
shows what the fill changes for a hospital.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from include.model.data import held_out_examples
from xray.redaction import filled


def redacted(directory: Path, index: int, mask: Any) -> tuple[Image.Image, Image.Image]:
    """Return a real X-ray of the mask's size, and the same with the mask filled.

    The X-rays are those of the held-out patients. One of two is of a healthy chest.

    Args:
        directory: a folder with NORMAL/ and PNEUMONIA/.
        index: the number of the sample in the corpus.
        mask: 1 where the sample was drawn anew, shape (height, width).
    """
    chests = _chests(directory)[index % 2]
    with Image.open(chests[index // 2 * 7 % len(chests)]) as image:
        chest = image.convert("L").resize(mask.shape[::-1], Image.Resampling.LANCZOS)
    return chest, Image.fromarray(filled(np.array(chest), mask))


@cache
def _chests(directory: Path) -> tuple[list[Path], list[Path]]:
    """Return the files of healthy and of sick chests."""
    found = held_out_examples(directory)
    healthy, sick = ([e.path for e in found if e.target == target] for target in (0, 1))
    return healthy, sick
