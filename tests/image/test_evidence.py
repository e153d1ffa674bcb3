"""xray.image.evidence"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from PIL import Image

from xray.image import draw_evidence


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_evidence_is_red_for_and_blue_against(mode: str) -> None:
    image = Image.new("L", (200, 100), 128).convert("RGB" if mode == "RGB" else "L")
    if mode == "I;16":
        image = Image.fromarray(np.full((100, 200), 128 * 257, np.uint16))
    cells = [[6.0, 0.0, 0.0, -6.0], [0.0, 0.0, 0.0, 0.0]]
    shown = draw_evidence(image, cells)
    assert (shown.mode, shown.size) == ("RGB", (200, 100))
    for_it, nothing, against = (shown.getpixel(p) for p in ((25, 20), (90, 90), (175, 20)))
    assert for_it[0] > 150 > for_it[2]
    assert against[2] > 150 > against[0]
    assert max(abs(value - 128) for value in nothing) <= 12


def test_faint_evidence_is_shown_faintly() -> None:
    image = Image.new("L", (100, 100), 128)
    strong, faint = (draw_evidence(image, [[value]]).getpixel((50, 50)) for value in (5.0, 0.2))
    assert strong[0] - 128 > 5 * (faint[0] - 128) > 0


def test_the_drawing_takes_little_memory() -> None:
    """Real numbers for each colour of each pixel would take 90 bytes a pixel."""
    image = Image.new("L", (1000, 500), 128)
    tracemalloc.start()
    try:
        draw_evidence(image, [[1.0, -1.0]])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * 1000 * 500
