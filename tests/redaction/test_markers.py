"""xray.redaction.markers"""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.text_images import ink, with_text
from xray.redaction import markers, ocr, redact
from xray.redaction.find import Finder


@pytest.mark.parametrize("size", [30, 60])
def test_a_marker_that_stands_alone_stays(lung: Image.Image, size: int) -> None:
    image = with_text(lung, "R", (40, 60), size=size)
    assert not redact(image).mask[ink(image, lung)].any()


@pytest.mark.parametrize("size", [20, 40, 60, 90])
def test_a_marker_that_is_not_wanted_is_removed(lung: Image.Image, size: int) -> None:
    image = with_text(lung, "R", (40, 60), size=size)
    assert redact(image, keep_markers=False).mask[ink(image, lung)].all()


@pytest.mark.parametrize(("below", "stays"), [("R", True), ("Ada", False)])
def test_what_is_below_a_marker_stays_if_it_is_one(
    lung: Image.Image, below: str, stays: bool
) -> None:
    marked = with_text(lung, "A-P", (60, 60), size=44)
    image = with_text(marked, below, (50, 110), size=44)
    mask = redact(image).mask
    covered = mask[ink(image, marked)]
    assert not mask[ink(image, lung)].any() if stays else covered.all()


def test_beside_markers_everything_else_goes(lung: Image.Image) -> None:
    image = with_text(with_text(lung, "AP", (60, 60), size=44), "R", (60, 115), size=44)
    named = with_text(image, "Ada Li", (105, 135), size=14, fill=190)
    name = ink(named, image, least=20)
    mask = redact(named).mask
    assert mask[name & ~ink(image, lung)].mean() > 0.98


def test_a_letter_beside_a_name_is_no_marker(lung: Image.Image) -> None:
    image = with_text(lung, "R", (40, 60), size=40)
    image = with_text(image, "Ashgrove", (85, 60), size=40)
    assert redact(image).mask[ink(image, lung)].all()


def test_the_tall_letters_of_each_row() -> None:
    part = np.full((100, 90), 20, np.uint8)
    part[10:30, 30:50] = part[10:30, 60:70] = part[60:80, 5:25] = 255
    part[18:20, 53:57] = 255
    expected = part > 200
    part[18:22, 22:26] = part[65:75, 40:80] = part[90:94, 5:9] = 255
    letters, rows = markers.tall_letters(part)
    assert np.array_equal(letters > 0, expected)
    assert rows == [(30, 10, 70, 30), (5, 60, 25, 80)]


def test_a_name_that_reads_as_a_marker_on_its_side_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readings_by_text = {
        "Ada Li": [("Ada Li", 0.97), ("7", 0.2), ("Aa", 0.69), ("l", 0.75)],
        "L": [("L", 0.9), ("7", 0.7), ("7", 0.95), ("J", 0.7)],
        "A-P": [("A-P", 0.99), ("i", 0.7), ("d-A", 0.78), ("ABC", 0.5)],
    }
    for text, readings in readings_by_text.items():
        answers = iter(ocr.RecognizedText(*reading) for reading in readings)
        monkeypatch.setattr(ocr, "recognize", lambda line, answers=answers: next(answers))
        assert markers.is_marker(np.eye(20, dtype=np.uint8)) is (text != "Ada Li")


@pytest.mark.parametrize(("fill", "ground"), [(240, 60), (20, 150)])
def test_the_letters_of_a_light_and_of_a_dark_marker(fill: int, ground: int) -> None:
    blank = Image.new("L", (120, 100), ground)
    image = with_text(blank, "R", (40, 20), size=50, fill=fill)
    letters = ink(image, blank, least=80)
    found = markers.marker_letters(np.asarray(image))
    assert found[letters].all()
    assert not found[:, :20].any()
    name = with_text(blank, "Ada", (10, 20), size=50, fill=fill)
    assert not markers.marker_letters(np.asarray(name)).any()


def test_text_beside_a_component_is_on_its_line_and_near() -> None:
    mask = np.zeros((200, 600), np.uint8)
    mask[20:60, 20:60] = 1
    mask[150:190, 20:60] = 1

    def has_text_beside(*place: slice) -> bool:
        with_other = mask.copy()
        with_other[place] = 1
        _, labels, stats, _ = cv2.connectedComponentsWithStats(with_other)
        return markers.has_text_beside(stats, int(labels[40, 40]))

    assert has_text_beside(np.s_[25:55], np.s_[80:200]), "on the same line"
    assert not has_text_beside(np.s_[25:55], np.s_[130:250]), "too far to the right"
    assert not has_text_beside(np.s_[50:90], np.s_[80:200]), "on the next line"
    assert not has_text_beside(np.s_[35:42], np.s_[80:87]), "too small"


def test_a_line_is_no_marker_whatever_surrounds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line and its surroundings may be as compact as a marker, and may be read as one."""
    monkeypatch.setattr(markers, "is_marker", lambda part: True)
    around, line = ((123.0, 60.0), (225.0, 87.0), 0.0), ((127.0, 42.0), (217.0, 25.0), 0.0)
    grey = np.full((300, 400), 60, np.uint8)
    grey[35:75, 100:130] = 255
    finder = Finder(grey, keep_markers=True)
    finder.mask_rectangles([around])
    assert (finder.mask.any(), finder.markers.any()) == (False, True), "it could be a marker"
    finder = Finder(grey, keep_markers=True)
    finder.mask_rectangles([around, line])
    assert (finder.mask.any(), finder.markers.any()) == (True, False)
