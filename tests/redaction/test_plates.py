"""xray.redaction.plates"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from bench.bar_codes import qr_code
from tests.support.text_images import with_text
from xray.redaction import redact
from xray.redaction.geometry import Grey, Mask
from xray.redaction.plates import with_plates


def _with_plate(pixels: Grey, box: tuple[int, int, int, int], level: int) -> tuple[Grey, Mask]:
    """Return a picture with a plate, and the mask of a text in its middle."""
    left, top, right, bottom = box
    pixels, text = pixels.copy(), np.zeros(pixels.shape, np.uint8)
    pixels[top:bottom, left:right] = level
    text[top + 8 : bottom - 8, left + 8 : right - 8] = 1
    return pixels, text


def _without_markers(removed: Mask) -> Mask:
    return np.zeros_like(removed)


@pytest.mark.parametrize("level", [0, 250])
def test_a_plate_is_removed_with_its_text(lung: Image.Image, level: int) -> None:
    pixels, text = _with_plate(np.asarray(lung), (200, 100, 320, 140), level)
    mask = with_plates(pixels, text, _without_markers(text))
    assert mask[97:143, 197:323].all()
    assert not mask[:90].any()
    assert not mask[150:].any()
    assert not mask[:, :190].any()
    assert not mask[:, 330:].any()


def test_a_slanted_plate_is_removed(lung: Image.Image) -> None:
    pixels = np.asarray(lung).copy()
    rectangle = ((250.0, 200.0), (160.0, 50.0), 20.0)
    plate, text = np.zeros_like(pixels), np.zeros_like(pixels)
    cv2.fillPoly(plate, [np.rint(cv2.boxPoints(rectangle)).astype(np.int32)], 1)
    inner = (rectangle[0], (140.0, 30.0), 20.0)
    cv2.fillPoly(text, [np.rint(cv2.boxPoints(inner)).astype(np.int32)], 1)
    pixels[plate > 0] = 240
    mask = with_plates(pixels, text, _without_markers(text))
    assert mask[plate > 0].all()
    assert mask.sum() < 1.5 * plate.sum()


def test_two_texts_on_one_plate_go_with_it(lung: Image.Image) -> None:
    pixels, text = _with_plate(np.asarray(lung), (200, 100, 320, 160), 250)
    text[125:135] = 0
    assert with_plates(pixels, text, _without_markers(text))[100:160, 200:320].all()


def test_a_plate_with_a_marker_stays(lung: Image.Image) -> None:
    pixels, text = _with_plate(np.asarray(lung), (200, 100, 320, 140), 0)
    marker = np.zeros_like(text)
    marker[105:112, 310:316] = 1
    assert np.array_equal(with_plates(pixels, text, marker), text)


@pytest.mark.parametrize(
    "box",
    [(0, 0, 120, 40), (0, 100, 500, 140), (3, 380, 90, 397)],
    ids=["corner", "band", "near the corner"],
)
def test_the_shadow_of_the_collimator_stays(
    lung: Image.Image, box: tuple[int, int, int, int]
) -> None:
    pixels, text = _with_plate(np.asarray(lung), box, 0)
    assert np.array_equal(with_plates(pixels, text, _without_markers(text)), text)


@pytest.mark.parametrize(
    "box", [(0, 0, 120, 40), (0, 100, 500, 140)], ids=["corner", "from side to side"]
)
def test_a_label_is_removed_where_a_shadow_would_stay(
    lung: Image.Image, box: tuple[int, int, int, int]
) -> None:
    pixels, text = _with_plate(np.asarray(lung), box, 250)
    mask = with_plates(pixels, text, _without_markers(text))
    left, top, right, bottom = box
    assert mask[top:bottom, left:right].all()
    assert not mask[bottom + 10 :].any()


@pytest.mark.parametrize("level", [0, 250])
def test_a_plate_ends_where_it_ends_though_the_removed_text_goes_on(
    lung: Image.Image, level: int
) -> None:
    pixels, text = _with_plate(np.asarray(lung), (200, 100, 320, 140), level)
    text[90:120, 240:350] = 1
    mask = with_plates(pixels, text, _without_markers(text))
    assert mask[100:140, 200:320].all()
    assert not (mask & ~text)[:95].any()
    assert not (mask & ~text)[:, 328:].any()


def test_a_plate_of_which_the_removed_text_leaves_one_end_is_removed(lung: Image.Image) -> None:
    pixels, text = _with_plate(np.asarray(lung), (200, 100, 320, 140), 250)
    text[94:146, 216:326] = 1
    assert with_plates(pixels, text, _without_markers(text))[100:140, 200:320].all()


@pytest.mark.parametrize("level", [190, 197])
@pytest.mark.parametrize("angle", [0, 7])
def test_a_plate_beside_anatomy_of_nearly_its_level_is_removed(
    lung: Image.Image, level: int, angle: float
) -> None:
    pixels, text = _with_plate(np.asarray(lung), (200, 100, 320, 140), 190)
    pixels[140:200, 240:300] = level
    pixels, text = (
        np.asarray(Image.fromarray(array).rotate(angle, fillcolor=0)) for array in (pixels, text)
    )
    mask = with_plates(pixels, text, _without_markers(text))
    back = np.asarray(Image.fromarray(mask).rotate(-angle))
    assert back[102:138, 202:318].all()
    assert not back[150:].any()


def test_text_on_anatomy_or_on_an_even_picture_has_no_plate(lung: Image.Image) -> None:
    for pixels in (np.asarray(lung), np.full((400, 500), 90, np.uint8)):
        _, text = _with_plate(pixels, (200, 100, 320, 140), 0)
        assert np.array_equal(with_plates(pixels, text, _without_markers(text)), text)
        everything = np.ones_like(text)
        assert np.array_equal(with_plates(pixels, everything, _without_markers(text)), everything)


def test_tissue_among_lines_of_text_in_a_corner_is_no_plate(lung: Image.Image) -> None:
    pixels, text = np.asarray(lung).copy(), np.zeros((400, 500), np.uint8)
    for top, end in ((300, 240), (325, 110), (350, 230), (375, 250)):
        text[top : top + 25, :end] = 1
    cv2.fillPoly(text, [np.array([[60, 300], [150, 275], [155, 300]])], 1)
    pixels[(text > 0) & (np.arange(500) > 60)] = 170
    pixels = cv2.GaussianBlur(pixels, (0, 0), 2).astype(np.uint8)
    assert np.array_equal(with_plates(pixels, text, _without_markers(text)), text)


def test_an_image_is_published_without_its_plates(lung: Image.Image) -> None:
    pixels = np.asarray(lung).copy()
    pixels[300:330, 60:260] = 0
    pixels = np.asarray(with_text(Image.fromarray(pixels), "Ada Ashgrove", (70, 300))).copy()
    code = np.pad(qr_code("Ada Ashgrove 1957-07-10", 3), 12)
    tall, wide = code.shape
    pixels[40 : 40 + tall, 320 : 320 + wide] = 245 - 235 * code
    done = redact(Image.fromarray(pixels))
    assert done.verified
    result = np.asarray(done.image)
    assert result.min() > 40
    assert result.max() < 180
