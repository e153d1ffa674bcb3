"""xray.redaction.check"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.support.text_images import code, ink, with_text
from xray.redaction import check, redact
from xray.redaction.check import line_extensions, look_again
from xray.redaction.find import Finder
from xray.redaction.thresholds import THRESHOLDS

Mask = npt.NDArray[np.uint8]


@pytest.fixture
def lettered(lung: Image.Image) -> Image.Image:
    """A picture with a line of text and a row of digits."""
    image = with_text(lung, "Ada Ashgrove", (150, 40), size=30)
    return with_text(image, "1957-07-10", (60, 300), size=30, fill=5)


@pytest.fixture
def nothing(lung: Image.Image) -> Mask:
    """An empty mask of the picture."""
    return np.zeros((lung.height, lung.width), np.uint8)


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


def test_a_second_look_finds_text_that_was_not_searched_for(
    lettered: Image.Image, lung: Image.Image, nothing: Mask
) -> None:
    look = look_again(np.asarray(lettered), nothing, nothing)
    assert look.is_complete
    assert look.mask[ink(lettered, lung)].mean() > 0.98
    assert look.mask.mean() < 0.2


def test_a_second_look_finds_nothing_without_text(lung: Image.Image, nothing: Mask) -> None:
    look = look_again(np.asarray(lung), nothing, nothing)
    assert look.is_complete
    assert not look.mask.any()


def test_a_second_look_sees_neither_what_was_removed_nor_a_marker(
    lettered: Image.Image, lung: Image.Image, nothing: Mask
) -> None:
    pixels, everything = np.asarray(lettered), np.ones_like(nothing)
    assert not look_again(pixels, everything, nothing).mask.any()
    box = nothing.copy()
    box[30:85, 140:340] = box[295:345, 50:230] = 1
    assert box[ink(lettered, lung)].all()
    assert not look_again(pixels, nothing, markers=box).mask.any()


def test_a_second_look_finds_a_code(lung: Image.Image, nothing: Mask) -> None:
    pixels = np.array(lung)
    drawn = code("QRCode", "DOE JANE 4711", 4)
    here = np.s_[100 : 100 + drawn.shape[0], 100 : 100 + drawn.shape[1]]
    pixels[here] = drawn
    assert look_again(pixels, nothing, nothing).mask[here][drawn < 128].all()


def test_after_the_first_look_only_the_neighbourhood_is_looked_at(
    lettered: Image.Image, lung: Image.Image, nothing: Mask
) -> None:
    new = nothing.copy()
    new[345:360, 100:160] = 1
    look = look_again(np.asarray(lettered), new, nothing, new)
    letters = ink(lettered, lung)
    assert not look.mask[:100].any(), "it is far away"
    assert look.mask[250:][letters[250:]].mean() > 0.95


@pytest.fixture
def doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the second engine finds must be read again."""

    def lines(equalized: Any, scale: float) -> list[tuple[Any, str, float]]:
        boxes = [((100.0 + 90 * n, 200.0), (60.0, 30.0), 0.0) for n in range(4)]
        return [(box, "Ada", 0.7) for box in boxes]

    monkeypatch.setattr(check.tesseract, "find_lines", lines)


@pytest.mark.usefixtures("doubtful")
def test_all_candidates_are_read_or_the_look_is_not_complete(
    lung: Image.Image, nothing: Mask, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels, looks = np.asarray(lung), {}
    for budget in (3, 4, 5):
        monkeypatch.setattr(check, "THRESHOLDS", replace(THRESHOLDS, max_check_read=budget))
        looks[budget] = look_again(pixels, nothing, nothing)
    assert [look.read for look in looks.values()] == [3, 4, 4]
    assert [look.is_complete for look in looks.values()] == [False, True, True]


@pytest.mark.usefixtures("doubtful")
@pytest.mark.parametrize(("budget", "is_verified"), [(2, False), (64, True)])
def test_a_picture_that_was_not_read_completely_is_quarantined(
    lung: Image.Image, monkeypatch: pytest.MonkeyPatch, budget: int, is_verified: bool
) -> None:
    monkeypatch.setattr(Finder, "find", lambda finder: None)
    monkeypatch.setattr(check, "THRESHOLDS", replace(THRESHOLDS, max_check_read=budget))
    done = redact(lung)
    assert (done.verified, done.quarantined) == (is_verified, not is_verified)
    assert not done.mask.any()
    assert done.check.read == min(4, budget)


def test_text_that_only_the_check_finds_is_removed(
    lettered: Image.Image, lung: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Finder, "find", lambda finder: None)
    done = redact(lettered)
    assert done.check.regions >= 2
    assert done.check.rounds >= 2, "the result is checked again"
    assert done.check.read > 0
    assert done.verified
    assert done.mask[ink(lettered, lung)].mean() > 0.98
