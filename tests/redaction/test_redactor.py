"""xray.redaction.redactor"""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from jsonschema import Draft202012Validator
from PIL import Image, ImageDraw, ImageFont

from tests.support.text_images import ink, letter, with_text
from xray.audit import SCHEMA_FILE
from xray.image import decode
from xray.redaction import check, ocr, redact, redactor, strokes, tesseract
from xray.redaction.find import Finder
from xray.redaction.redactor import CHECK_ENGINE, ENGINE
from xray.redaction.thresholds import THRESHOLDS
from xray.redaction.views import flattened


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
    kept = np.asarray(done.image)[done.mask == 0]
    assert np.array_equal(kept, flattened(np.asarray(image))[done.mask == 0])
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
        finder.mask[3 * 183 : 3 * 219, 3 * 230 : 3 * 390] = 1

    monkeypatch.setattr(Finder, "find", find)
    for module, function in [
        (ocr, "text_rectangles"),
        (strokes, "clusters"),
        (tesseract, "find_lines"),
    ]:
        monkeypatch.setattr(module, function, lambda *_, **__: [])
    image = with_text(lung, "Ada Li, 1957-07-10", (150, 185), size=26)
    done = redact(image)
    assert done.mask[ink(image, lung)].mean() > 0.99
    assert done.verified


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "I;16", "I", "F"])
def test_a_picture_in_another_mode_than_grey_is_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=f"not one in {mode}"):
        redact(Image.new(mode, (100, 80)))


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
    assert done.check.rounds == THRESHOLDS.rounds
    assert done.summary() == {
        "engine": ENGINE,
        "scale": 3.0,
        "regions": len(done.boxes),
        "check": {
            "engine": CHECK_ENGINE,
            "rounds": THRESHOLDS.rounds,
            "read": done.check.read,
            "regions": done.check.regions,
        },
        "verified": False,
        "quarantined": True,
    }
    form = json.loads(SCHEMA_FILE.read_text())["properties"]["redaction"]
    Draft202012Validator(form).validate(done.summary())


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
