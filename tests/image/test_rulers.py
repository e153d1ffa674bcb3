"""xray.image.rulers"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from xray.image import draw_rulers


def ruler_width(size: tuple[int, int], side: int) -> int:
    """Return the width of a ruler: where a grey image begins on its sheet."""
    sheet = np.asarray(draw_rulers(Image.new("L", size, 100), side))
    return int(np.flatnonzero(sheet[-1] == 100)[0])


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_reduced_image_stands_below_and_beside_the_rulers(
    chest: Image.Image, mode: str
) -> None:
    sheet = draw_rulers(chest.convert(mode), 354)
    width = ruler_width(chest.size, 354)
    small = chest.convert("L")
    small.thumbnail((354 - width, 354 - width))
    assert (sheet.mode, sheet.size) == ("L", (small.width + width, small.height + width))
    inside = np.asarray(sheet)[width + 1 :, width + 1 :]  # the marks end on the first pixels
    assert np.array_equal(inside, np.asarray(small)[1:, 1:])


def test_the_rulers_count_the_pixels_of_the_original() -> None:
    width = ruler_width((2000, 1000), 540)
    sheet = np.asarray(draw_rulers(Image.new("L", (2000, 1000)), 540))
    marks = np.flatnonzero(sheet[width - 2] == 255) - width
    expected = np.arange(0, 2000, 200) * ((540 - width) / 2000)
    assert len(marks) == len(expected), "a mark for every 200 pixels"
    assert np.abs(marks - expected).max() <= 1


@pytest.mark.parametrize("size", [(700, 500), (2000, 1000), (64, 64), (24000, 800), (64, 300_000)])
def test_the_sheet_is_no_larger_than_asked_for(size: tuple[int, int]) -> None:
    sheet = draw_rulers(Image.new("L", size), 600)
    assert max(sheet.size) <= 600


def test_a_long_thin_image_has_numbers_for_all_of_its_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = []
    draw = ImageDraw.ImageDraw.text
    monkeypatch.setattr(
        ImageDraw.ImageDraw,
        "text",
        lambda self, place, text, **options: (
            drawn.append((*place, int(text))),
            draw(self, place, text, **options),
        ),
    )
    width = ruler_width((64, 300_000), 1200)
    drawn.clear()
    height = draw_rulers(Image.new("L", (64, 300_000)), 1200).height - width
    down = [(y - width, number) for x, y, number in drawn if x < width]
    assert len(down) > 10
    for y, number in down:
        assert y / height == pytest.approx(number / 300_000, abs=0.01)


def test_a_number_of_many_digits_is_not_cut_off() -> None:
    sheet = np.asarray(draw_rulers(Image.new("L", (800, 250_000)), 1200))
    assert not sheet[60:, 0].any(), "the left edge is free of ink"
    assert sheet[60:, 1:40].any()
