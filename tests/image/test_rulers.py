"""xray.image.rulers"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from xray.image import draw_rulers


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_reduced_image_stands_below_and_beside_the_rulers(
    chest: Image.Image, mode: str
) -> None:
    sheet = draw_rulers(chest.convert(mode), 320)
    small = chest.convert("L")
    small.thumbnail((320, 320))
    width = sheet.width - small.width
    assert (sheet.mode, sheet.height - small.height) == ("L", width)
    inside = np.asarray(sheet)[width + 1 :, width + 1 :]  # the marks end on the first pixels
    assert np.array_equal(inside, np.asarray(small)[1:, 1:])


def test_the_rulers_count_the_pixels_of_the_original() -> None:
    sheet = np.asarray(draw_rulers(Image.new("L", (2000, 1000)), 500))
    width = sheet.shape[1] - 500
    marks = np.flatnonzero(sheet[width - 2] == 255)
    assert (marks - width).tolist() == list(range(0, 500, 50)), "a mark for every 200 pixels"
