"""xray.redaction.codes"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.support.text_images import code, with_text
from xray.redaction.codes import bar_codes, decoded_codes
from xray.redaction.geometry import Rectangle, draw_rectangle

NAME = "DOE JANE 4711"
Pixels = npt.NDArray[np.uint8]


def with_code(ground: Image.Image, drawn: Pixels) -> tuple[Pixels, npt.NDArray[np.bool_]]:
    """Return the picture with a code in its middle, and where the code is black."""
    picture = np.array(ground)
    top, left = np.subtract(picture.shape, drawn.shape) // 2
    plate = np.s_[top : top + drawn.shape[0], left : left + drawn.shape[1]]
    picture[plate] = drawn
    black = np.zeros(picture.shape, bool)
    black[plate] = drawn < 128
    return picture, black


def covered(rectangles: list[Rectangle], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return where any of the rectangles is."""
    mask = np.zeros(shape, np.uint8)
    for rectangle in rectangles:
        draw_rectangle(mask, rectangle)
    return mask > 0


@pytest.mark.parametrize(("module", "height"), [(2, 60), (2, 170), (3, 240), (5, 300)])
def test_bars_are_found_however_tall_they_are(lung: Image.Image, module: int, height: int) -> None:
    drawn = code("Code128", NAME, module)
    picture, black = with_code(
        lung.resize((1000, 800)), np.resize(drawn[:1], (height, drawn.shape[1]))
    )
    found = covered(bar_codes(picture), picture.shape)
    assert found[black].all()
    assert found.mean() < 3 * black.mean() + 0.02


@pytest.mark.parametrize("angle", [10, 45, 90])
def test_bars_are_found_at_any_angle(angle: float) -> None:
    drawn = code("Code128", NAME, 2)
    ground = Image.new("L", (700, 700), 90)
    picture, black = with_code(ground, np.resize(drawn[:1], (170, drawn.shape[1])))
    turned = np.asarray(Image.fromarray(picture).rotate(angle, fillcolor=90))
    where = np.asarray(Image.fromarray(black).rotate(angle))
    assert covered(bar_codes(turned), turned.shape)[where].mean() > 0.98


def test_two_codes_end_to_end_are_both_found(lung: Image.Image) -> None:
    row = code("Code128", NAME, 2)[:1]
    one, other = (np.repeat(row, height, axis=0) for height in (100, 90))
    between = np.full((6, row.shape[1]), 255, np.uint8)
    picture, black = with_code(lung.resize((1000, 800)), np.vstack([one, between, other]))
    assert covered(bar_codes(picture), picture.shape)[black].mean() > 0.98


def test_a_line_beside_the_end_of_a_code_is_no_bar() -> None:
    drawn = np.repeat(code("Code128", NAME, 2)[:1], 120, axis=0)
    picture, black = with_code(Image.new("L", (700, 700), 90), drawn)
    bottom, right = (places.max() for places in np.nonzero(black))
    picture[bottom - 8 : bottom + 112, right + 6 : right + 9] = 20
    found = covered(bar_codes(picture), picture.shape)
    assert found[black].all()
    assert not found[bottom + 30 :].any()


def test_bars_that_lie_nearly_level_are_found_though_their_directions_differ() -> None:
    picture = np.full((400, 400), 90, np.uint8)
    for number in range(20):
        y, slope = 60 + 14 * number, 1 if number % 2 else -1
        cv2.line(picture, (100, y), (160, y + slope), 250, 2)
    found = covered(bar_codes(picture), picture.shape)
    assert found[picture == 250].mean() > 0.98


def test_what_is_no_code_has_no_bars(lung: Image.Image) -> None:
    assert bar_codes(np.asarray(lung)) == []
    assert bar_codes(np.asarray(with_text(lung, "Illilli IIIII", (100, 100)))) == []
    few = np.array(lung)
    few[100:300, 100:130:6] = 250
    assert bar_codes(few) == [], "five parallel lines"
    uneven = np.array(lung)
    for number in range(12):
        uneven[60 : 110 + 25 * number, 100 + 9 * number : 103 + 9 * number] = 250
    found = covered(bar_codes(uneven), uneven.shape)
    assert not found.any(), "bars of different lengths"


@pytest.mark.parametrize("kind", ["Code128", "QRCode"])
@pytest.mark.parametrize("is_negative", [False, True])
def test_a_code_that_can_be_decoded_is_found(
    lung: Image.Image, kind: str, is_negative: bool
) -> None:
    picture, black = with_code(lung, code(kind, NAME, 2))
    seen = 255 - picture if is_negative else picture
    assert covered(decoded_codes(seen), seen.shape)[black].mean() > 0.98


def test_text_is_no_code(lung: Image.Image) -> None:
    assert decoded_codes(np.asarray(with_text(lung, NAME, (100, 100)))) == []
