"""xray.redaction.check"""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.support.text_images import ink, with_text
from xray.redaction.check import equalize_contrast, line_extensions, remaining_text


def test_the_extensions_of_a_line() -> None:
    mask = np.zeros((300, 600), np.uint8)
    mask[100:140, 200:400] = mask[200:280, 20:100] = 1
    ends = list(line_extensions(mask))
    assert [(round(x), round(y)) for (x, y), _, _ in ends] == [(148, 120), (451, 120)]
    for _, (length, height), _ in ends:
        assert length == pytest.approx(4 * height)
        assert 20 < height < 40
    at_the_border = np.zeros((300, 600), np.uint8)
    at_the_border[100:140, :300] = 1
    assert len(list(line_extensions(at_the_border))) == 1


def test_remaining_text_is_what_was_not_removed_and_is_no_marker(lung: Image.Image) -> None:
    image = with_text(lung, "Ada Ashgrove", (150, 40))
    letters = ink(image, lung)
    nothing = np.zeros(letters.shape, np.uint8)
    everything = np.ones_like(nothing)
    assert remaining_text(image, None, nothing, nothing)[letters].all()
    assert not remaining_text(image, None, everything, nothing).any()
    box = np.zeros_like(nothing)
    box[36:72, 145:305] = 1
    assert not remaining_text(image, None, nothing, markers=box).any()
    assert not remaining_text(lung, None, nothing, nothing).any()


def test_the_equalized_contrast_of_faint_and_strong_text_is_alike() -> None:
    blank = Image.new("L", (600, 300), 80)
    faint = with_text(blank, "Ada Ashgrove", (60, 200), fill=100)
    strong = with_text(blank, "Ada Ashgrove", (60, 200), fill=240)
    letters = ink(strong, blank)
    spans = []
    for image in (faint, strong):
        grey = equalize_contrast(np.asarray(image))
        assert grey.dtype == np.uint8
        assert abs(int(grey[20, 300]) - 128) <= 1, "far from the text"
        spans.append(np.median(grey[letters]) - 128)
    assert spans[0] > 2 * 20, "more than twice its contrast"
    assert spans[0] > 0.5 * spans[1]
