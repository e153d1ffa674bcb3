"""xray.redaction.ocr"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.support.text_images import ink, with_text
from xray.redaction import ocr
from xray.redaction.geometry import draw_rectangle


def line(text: str, size: int = 32) -> np.ndarray:
    """Return a level line of dark text on light ground."""
    image = Image.new("L", (12 + round(0.62 * size * len(text)), round(1.6 * size)), 230)
    return np.asarray(with_text(image, text, (6, size // 6), size=size, fill=10))


@pytest.mark.parametrize("text", ["Ashgrove", "1957-07-10", "ID 4711"])
@pytest.mark.parametrize("size", [16, 32, 64])
def test_drawn_text_is_recognized(text: str, size: int) -> None:
    recognized = ocr.recognize(line(text, size))
    assert recognized.text.replace(" ", "") == text.replace(" ", "")
    assert 0.8 < recognized.confidence <= 1


def test_nothing_is_recognized_on_even_ground() -> None:
    assert ocr.recognize(np.full((48, 200), 90, np.uint8)) == ("", 0.0)


def test_letters_and_digits_are_counted() -> None:
    assert ocr.letter_count("A-P 12.") == 4
    assert ocr.letter_count("Çelik") == 5
    assert ocr.letter_count(" .-") == 0


def test_text_is_likely_where_it_stands(lung: Image.Image) -> None:
    image = with_text(lung, "Ada Ashgrove", (150, 180))
    likelihood = ocr.likelihood(np.asarray(image))
    assert likelihood.shape == (400, 500)
    assert likelihood.dtype == np.float32
    assert likelihood.min() >= 0
    assert likelihood.max() <= 1
    assert likelihood[185:205, 160:290].mean() > 0.5
    assert likelihood[:150].max() < 0.2
    assert likelihood[240:].max() < 0.2


def test_text_is_likely_in_every_tile() -> None:
    """The picture has four tiles, and the text in the middle stands where they meet."""
    places = [(40, 40), (1100, 60), (850, 920), (60, 1100), (1080, 1120)]
    image = Image.new("L", (1300, 1200), 60)
    for place in places:
        image = with_text(image, "Ashgrove", place)
    likelihood = ocr.likelihood(np.asarray(image))
    assert likelihood.shape == (1200, 1300)
    for left, top in places:
        part = likelihood[top : top + 30, left : left + 110]
        assert part.max() > 0.8
        likelihood[top - 15 : top + 45, left - 15 : left + 125] = 0
    assert likelihood.max() < 0.2, "nowhere else"


def test_the_rectangles_of_likely_text_cover_it(lung: Image.Image) -> None:
    large = lung.resize((1000, 800))
    for picture in (lung.resize((375, 300)), large):
        image = with_text(picture, "Ada Ashgrove", (150, 180))
        ((rectangle, likelihood),) = ocr.likely_text(np.asarray(image), 0.2)
        assert 0.5 < likelihood <= 1
        mask = np.zeros((image.height, image.width), np.uint8)
        draw_rectangle(mask, rectangle)
        assert mask[ink(image, picture)].all()


def test_rectangles_are_grown_scaled_and_sorted() -> None:
    likelihood = np.zeros((100, 200), np.float32)
    likelihood[20:31, 20:121] = 0.4
    likelihood[60:71, 20:31] = 0.9
    likelihood[90, 150] = 1.0
    square, long = ocr.text_rectangles(likelihood, 2, 0.3)
    assert [round(found[1], 1) for found in (square, long)] == [0.9, 0.4], "the likeliest first"
    (centre, size, _) = square[0]
    assert centre == (50, 130)
    assert size == pytest.approx((37, 37)), "twice 10, and 0.85 of it more"
    assert sorted(long[0][1]) == pytest.approx([48, 228]), "twice 10 and 100, and 1.4 of 10 more"
    assert ocr.text_rectangles(likelihood, 2, 0.95) == [], "a pixel is no text"
