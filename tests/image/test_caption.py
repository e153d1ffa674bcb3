"""xray.image.caption"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from xray.image import caption_text, print_caption
from xray.settings import Label

TEXT = caption_text(Label.PNEUMONIA, 0.93124)


def test_the_captions_form_is_the_original_systems() -> None:
    assert TEXT == "Pneumonia, risk=93.12%"
    assert caption_text(Label.NORMAL, 0.0) == "Normal, risk=0.00%"
    assert caption_text(Label.UNSURE, 0.6999) == "Unsure, risk=69.99%"


def test_a_label_that_a_person_chose_says_so() -> None:
    assert caption_text(Label.NORMAL, 0.7, reviewed=True) == "Normal, risk=70.00%, reviewed"


def test_a_refused_image_has_no_risk_but_the_reason() -> None:
    assert caption_text(Label.UNSURE, 0.97, refused="upside down") == "Unsure, upside down"
    text = caption_text(Label.NORMAL, 0.97, refused="inverted", reviewed=True)
    assert text == "Normal, inverted, reviewed"


def test_an_anonymised_images_risk_has_no_decimals() -> None:
    assert caption_text(Label.PNEUMONIA, 0.93124, decimals=0) == "Pneumonia, risk=93%"
    assert caption_text(Label.NORMAL, 0.004, decimals=0, reviewed=True) == (
        "Normal, risk=0%, reviewed"
    )


def changed(before: Image.Image, after: Image.Image) -> tuple[int, int, int, int]:
    """Return the box (left, top, right, bottom) of the pixels that differ."""
    difference = np.asarray(before, int) != np.asarray(after, int)
    if difference.ndim == 3:
        difference = difference.any(axis=2)
    rows, columns = np.where(difference)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize("ground", [0, 40, 128, 215, 255])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_the_caption_is_readable_on_any_ground(ground: int, mode: str) -> None:
    image = Image.new(mode, (1200, 900), ground if mode == "L" else (ground,) * 3)
    result = print_caption(image, TEXT)
    assert (result.mode, result.size) == (image.mode, image.size)
    strip = np.asarray(result.convert("L"), int)[:30, :250]
    assert strip.min() == 0
    assert strip.max() >= 250
    assert set(np.asarray(image).ravel()) == {ground}, "the input is left as it was"


@pytest.mark.parametrize("size", [(64, 64), (200, 150), (1500, 1200), (4000, 300), (300, 4000)])
def test_the_caption_stays_at_the_top_left_and_inside(size: tuple[int, int]) -> None:
    image = Image.new("L", size, 128)
    left, top, right, bottom = changed(image, print_caption(image, TEXT))
    assert (left, top) == (0, 0)
    assert right <= size[0]
    assert bottom <= max(20, size[1] // 8)


def test_the_letters_grow_with_the_image() -> None:
    heights = []
    for side in (300, 900, 2700):
        image = Image.new("L", (side, side), 128)
        heights.append(changed(image, print_caption(image, TEXT))[3])
    assert heights[0] < heights[1] < heights[2]


def test_another_text_is_another_image() -> None:
    image = Image.new("L", (900, 900), 128)
    assert (
        print_caption(image, TEXT).tobytes()
        != print_caption(image, TEXT.replace("3", "4")).tobytes()
    )


@pytest.mark.parametrize(("depth", "white"), [(16, 65535), (12, 4095), (8, 255)])
@pytest.mark.parametrize("ground", [0, 200])
def test_sixteen_bits_get_the_same_letters(depth: int, white: int, ground: int) -> None:
    deep = Image.fromarray(np.full((900, 1200), ground, np.uint16))
    result = print_caption(deep, TEXT, depth)
    assert (result.mode, result.size) == ("I;16", deep.size)
    strip = print_caption(Image.new("L", deep.size, 128), TEXT)
    drawn = np.asarray(strip, float)[:30, :250] * (white / 255)
    assert np.abs(np.asarray(result, float)[:30, :250] - drawn).max() <= 0.5
    assert (np.asarray(result)[100:] == ground).all()
    assert set(np.asarray(deep).ravel()) == {ground}, "the input is left as it was"
