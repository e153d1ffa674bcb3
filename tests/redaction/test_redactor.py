"""xray.redaction.redactor"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.support.text_images import ink, letter, with_text
from xray.image import decode
from xray.redaction import check, ocr, redact, redactor, strokes
from xray.redaction.find import Finder


def test_text_is_removed_wherever_it_stands(lung: Image.Image) -> None:
    image = with_text(lung, "name:Ada Ashgrove", (150, 40))
    turned = Image.new("L", (260, 30))
    ImageDraw.Draw(turned).text((2, 2), "1957-07-10", fill=255, font=ImageFont.load_default(22))
    up = turned.rotate(90, expand=True)
    image.paste(235, (430, 100), up)
    done = redact(image)
    assert done.verified
    assert not done.quarantined
    assert done.mask[ink(image, lung)].mean() == 1
    assert done.mask.mean() < 0.15
    after = np.asarray(done.image)
    assert np.array_equal(after[done.mask == 0], np.asarray(image)[done.mask == 0])
    for box in done.boxes:
        part = np.asarray(done.image.crop(box))
        for quarter in range(4):
            line = np.ascontiguousarray(np.rot90(part, quarter))
            assert len(ocr.recognize(line).text) < 4


def test_faint_text_is_removed_if_it_can_be_read(lung: Image.Image) -> None:
    image = with_text(Image.new("L", lung.size, 80), "Ada Ashgrove 1234", (90, 200), fill=100)
    done = redact(image)
    assert done.mask[np.asarray(image) > 90].mean() == 1


def test_a_line_of_which_only_a_part_was_found_is_followed(
    lung: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(finder: Finder) -> None:
        finder.mask[183:219, 230:390] = 1

    monkeypatch.setattr(Finder, "find", find)
    monkeypatch.setattr(ocr, "likely_text", lambda grey, threshold: [])
    monkeypatch.setattr(strokes, "clusters", lambda grey, **limits: [])
    image = with_text(lung, "Ada Li, 1957-07-10", (150, 185), size=26)
    done = redact(image)
    assert done.mask[ink(image, lung)].mean() > 0.99
    assert done.verified


def test_coloured_text_as_bright_as_its_ground_is_removed() -> None:
    image = with_text(Image.new("RGB", (400, 300), (76, 76, 76)), "Ada 1234", (90, 140), fill="red")
    done = redact(image)
    letters = np.asarray(image)[..., 0] > 150
    assert letters.any()
    assert done.mask[letters].all()
    assert done.image.mode == "RGB"


@pytest.mark.parametrize("most", [4095, 65535])
def test_sixteen_bits_stay_sixteen(lung: Image.Image, most: int) -> None:
    image = with_text(lung, "Ada Ashgrove", (150, 40))
    before = np.rint(np.asarray(image) * (most / 255)).astype(np.uint16)
    done = redact(Image.fromarray(before))
    after = np.asarray(done.image)
    assert done.image.mode == "I;16"
    assert done.mask.any()
    assert np.array_equal(before[done.mask == 0], after[done.mask == 0])
    assert after[done.mask > 0].max() < most * 0.8


def test_what_is_mostly_text_is_quarantined() -> None:
    done = redact(letter())
    assert done.quarantined
    assert not done.verified


def test_an_image_with_legible_text_after_all_rounds_is_quarantined(
    lung: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redactor, "filled", lambda pixels, mask: pixels)
    monkeypatch.setattr(check, "is_covered", lambda mask, rectangle, share: False)
    done = redact(with_text(lung, "Ada Ashgrove", (150, 40)))
    assert done.quarantined
    assert done.summary() == {
        "engine": done.engine,
        "regions": len(done.boxes),
        "verified": False,
        "quarantined": True,
    }


def test_a_line_shows_what_was_removed_if_that_is_wanted(lung: Image.Image) -> None:
    image = with_text(lung, "Ada Ashgrove", (150, 40))
    plain, outlined = np.asarray(redact(image).image), redact(image, outline=True)
    changed = plain != np.asarray(outlined.image)
    assert changed.any()
    assert not changed[outlined.mask == 0].any()


def test_the_risk_hardly_moves(demo_images: list[Path]) -> None:
    from xray.risk import RiskModel

    model = RiskModel.load()
    pictures = [decode(path.read_bytes()).pixels for path in demo_images[::5]]
    done = [redact(picture) for picture in pictures]
    moves = [
        abs(model.score(d.image) - model.score(p)) for d, p in zip(done, pictures, strict=True)
    ]
    assert np.mean(moves) < 0.005
    for redaction in done:
        assert redaction.verified
        assert redaction.mask[-94:, 4:100].mean() > 0.8, "the demo's own text"


def test_a_code_is_removed(lung: Image.Image) -> None:
    large = np.array(lung.resize((1000, 800)))
    code = np.kron(cv2.QRCodeEncoder.create().encode("Ada Ashgrove 1234"), np.ones((4, 4)))
    plate = np.s_[300 : 300 + code.shape[0], 450 : 450 + code.shape[1]]
    large[plate] = code
    done = redact(Image.fromarray(large))
    dark = np.zeros_like(large, bool)
    dark[plate] = code < 128
    assert done.mask[dark].all()
    assert not done.quarantined
