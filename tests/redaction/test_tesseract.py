"""xray.redaction.tesseract"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.support.text_images import ink, with_text
from xray.redaction.geometry import draw_rectangle
from xray.redaction.tesseract import find_lines
from xray.redaction.views import equalize_contrast

BICUBIC = Image.Resampling.BICUBIC


@pytest.mark.parametrize("fill", [230, 10])
@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_light_and_dark_lines_are_found_and_read(
    lung: Image.Image, fill: int, scale: float
) -> None:
    image = with_text(lung, "Ada Ashgrove", (150, 180), size=32, fill=fill)
    first = find_lines(equalize_contrast(np.asarray(image)), scale)[0]
    assert "Ashgrove" in first.text
    assert 0.6 < first.confidence <= 1
    large = tuple(round(side * scale) for side in image.size)
    mask = np.zeros(large[::-1], np.uint8)
    draw_rectangle(mask, first.rectangle)
    letters = np.asarray(Image.fromarray(ink(image, lung)).resize(large))
    assert mask[letters].mean() > 0.99
    assert mask.mean() < 0.2


def test_the_most_confident_line_comes_first(lung: Image.Image) -> None:
    image = with_text(lung, "Ada Ashgrove", (60, 60), size=32)
    image = with_text(image, "1957-07-10", (200, 250), size=26, fill=5)
    found = find_lines(equalize_contrast(np.asarray(image)), 1)
    confidences = [line.confidence for line in found]
    assert len(found) >= 2
    assert confidences == sorted(confidences, reverse=True)
    texts = [line.text for line in found]
    assert any("Ashgrove" in text for text in texts)
    assert any("1957" in text for text in texts)


def test_nothing_is_found_on_even_ground() -> None:
    assert find_lines(np.full((100, 200), 128, np.uint8), 1) == []


def test_the_engine_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    """Leptonica prints errors about some pictures, which would go into the log of the task."""
    for seed in (4, 5, 7):
        noise = np.random.default_rng(seed).normal(128, 50, (240, 320)).clip(0, 255)
        noise[:80] = 128
        picture = Image.fromarray(noise.astype(np.uint8)).resize((672, 504), BICUBIC)
        find_lines(np.asarray(picture), 1)
    assert capfd.readouterr() == ("", "")
