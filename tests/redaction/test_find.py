"""xray.redaction"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from tests.support import ROOT
from tests.support.dicom_files import SECRET, dicom
from xray.image import decode
from xray.redaction import filled, masked, ocr, redact, strokes
from xray.redaction import find as redaction

Save = Callable[..., bytes]


def written(image: Image.Image, text: str, place: tuple[int, int], **options: Any) -> Image.Image:
    """``image`` with a line of text on it."""
    result = image.copy()
    font = ImageFont.load_default(options.pop("size", 24))
    ImageDraw.Draw(result).text(place, text, font=font, **{"fill": "white", **options})
    return result


@pytest.fixture
def lung() -> Image.Image:
    """A smooth grey picture, 500 x 400."""
    rng = np.random.default_rng(5)
    small = Image.fromarray(rng.integers(60, 150, (5, 6), np.uint8).astype(np.uint8))
    return small.resize((500, 400), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_nothing_under_the_mask_has_a_part_in_the_fill(shape: tuple[int, ...], kind: Any) -> None:
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, np.iinfo(kind).max, shape).astype(kind)
    mask = np.zeros(shape[:2], np.uint8)
    mask[5:20, 10:30] = mask[30:, 40:] = 1
    other = pixels.copy()
    other[mask > 0] = rng.integers(0, np.iinfo(kind).max, other[mask > 0].shape)
    done = filled(pixels, mask)
    assert np.array_equal(done, filled(other, mask))
    assert np.array_equal(done[mask == 0], pixels[mask == 0])
    assert done.dtype == kind
    assert not np.array_equal(done, pixels)


def test_an_image_that_is_masked_whole_is_black() -> None:
    pixels = np.full((9, 9), 7, np.uint8)
    assert not filled(pixels, np.ones((9, 9), np.uint8)).any()


def test_the_fill_continues_the_picture() -> None:
    ramp = np.tile(np.linspace(40, 200, 640).astype(np.uint8), (480, 1))
    mask = np.zeros(ramp.shape, np.uint8)
    mask[200:240, 100:400] = 1
    assert np.abs(filled(ramp, mask).astype(int) - ramp).mean() < 2


def test_text_is_removed_wherever_it_stands(lung: Image.Image) -> None:
    image = written(lung, "name:Ada Ashgrove", (150, 40))
    turned = Image.new("L", (260, 30))
    ImageDraw.Draw(turned).text((2, 2), "1957-07-10", fill=255, font=ImageFont.load_default(22))
    up = turned.rotate(90, expand=True)
    image.paste(235, (430, 100), up)
    done = redact(image)
    assert done.verified
    assert not done.quarantined
    ink = np.abs(np.asarray(image).astype(int) - np.asarray(lung)) > 40
    assert done.mask[ink].mean() == 1
    assert done.mask.mean() < 0.15
    after = np.asarray(done.image)
    assert np.array_equal(after[done.mask == 0], np.asarray(image)[done.mask == 0])
    for box in done.boxes:
        part = np.asarray(done.image.crop(box))
        for quarter in range(4):
            assert len(ocr.read([np.ascontiguousarray(np.rot90(part, quarter))])[0].text) < 4


def test_faint_text_is_removed_if_it_can_be_read(lung: Image.Image) -> None:
    image = written(Image.new("L", lung.size, 80), "Ada Ashgrove 1234", (90, 200), fill=100)
    done = redact(image)
    ink = np.asarray(image) > 90
    assert done.mask[ink].mean() == 1


def test_a_line_of_which_only_a_part_was_found_is_followed(
    lung: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(finder: redaction.Finder) -> None:
        finder.mask[183:219, 230:390] = 1

    monkeypatch.setattr(redaction.Finder, "find", find)
    monkeypatch.setattr(redaction, "likely_text", lambda grey, least: [])
    monkeypatch.setattr(strokes, "clusters", lambda grey, **limits: [])
    image = written(lung, "Ada Li, 1957-07-10", (150, 185), size=26)
    ink = np.abs(np.asarray(image).astype(int) - np.asarray(lung)) > 40
    done = redact(image)
    assert done.mask[ink].mean() > 0.99
    assert done.verified


def test_where_a_line_would_go_on() -> None:
    mask = np.zeros((300, 600), np.uint8)
    mask[100:140, 200:400] = mask[200:280, 20:100] = 1
    ends = list(redaction.beyond(mask))
    assert [(round(x), round(y)) for (x, y), _, _ in ends] == [(148, 120), (451, 120)]
    for _, (length, height), _ in ends:
        assert length == pytest.approx(4 * height)
        assert 20 < height < 40
    at_the_border = np.zeros((300, 600), np.uint8)
    at_the_border[100:140, :300] = 1
    assert len(list(redaction.beyond(at_the_border))) == 1


def test_a_marker_that_stands_alone_stays_unless_it_is_not_wanted(lung: Image.Image) -> None:
    image = written(lung, "R", (40, 60), size=60)
    ink = np.abs(np.asarray(image).astype(int) - np.asarray(lung)) > 40
    assert not redact(image).mask[ink].any()
    assert redact(image, keep_markers=False).mask[ink].all()


@pytest.mark.parametrize(("below", "stays"), [("R", True), ("Ada", False)])
def test_a_marker_above_another_stays_but_not_above_a_name(
    lung: Image.Image, below: str, stays: bool
) -> None:
    image = written(written(lung, "A-P", (60, 60), size=44), below, (50, 110), size=44)
    ink = np.abs(np.asarray(image).astype(int) - np.asarray(lung)) > 40
    covered = redact(image).mask[ink]
    assert not covered.any() if stays else covered.all()


def test_beside_markers_everything_else_goes(lung: Image.Image) -> None:
    image = written(written(lung, "AP", (60, 60), size=44), "R", (60, 115), size=44)
    named = written(image, "Ada Li", (105, 135), size=14, fill=190)
    marker = np.abs(np.asarray(image).astype(int) - np.asarray(lung)) > 40
    name = np.abs(np.asarray(named).astype(int) - np.asarray(image)) > 20
    mask = redact(named).mask
    assert mask[name & ~marker].mean() > 0.98


def test_the_tall_letters_of_each_row() -> None:
    part = np.full((100, 90), 20, np.uint8)
    part[10:30, 30:50] = part[10:30, 60:70] = part[60:80, 5:25] = 255
    part[18:20, 53:57] = 255
    expected = part > 200
    part[18:22, 22:26] = part[65:75, 40:80] = part[90:94, 5:9] = 255
    letters, rows = redaction.tall_letters(part)
    assert np.array_equal(letters > 0, expected)
    assert rows == [(30, 10, 70, 30), (5, 60, 25, 80)]


def test_a_letter_beside_a_name_is_no_marker(lung: Image.Image) -> None:
    image = written(lung, "R", (40, 60), size=40)
    image = written(image, "Ashgrove", (85, 60), size=40)
    ink = np.abs(np.asarray(image).astype(int) - np.asarray(lung)) > 40
    assert redact(image).mask[ink].all()


def test_a_name_that_reads_as_a_marker_on_its_side_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = {
        "Ada Li": [("Ada Li", 0.97), ("7", 0.2), ("Aa", 0.69), ("l", 0.75)],
        "L": [("L", 0.9), ("7", 0.7), ("7", 0.95), ("J", 0.7)],
        "A-P": [("A-P", 0.99), ("i", 0.7), ("d-A", 0.78), ("ABC", 0.5)],
    }
    for name, readings in said.items():
        found = iter(ocr.Reading(*reading) for reading in readings)
        monkeypatch.setattr(ocr, "read", lambda lines, found=found: [next(found)])
        assert redaction.is_marker(np.eye(20, dtype=np.uint8)) is (name != "Ada Li")


def test_coloured_text_as_bright_as_its_ground_is_removed() -> None:
    image = written(Image.new("RGB", (400, 300), (76, 76, 76)), "Ada 1234", (90, 140), fill="red")
    done = redact(image)
    ink = np.asarray(image)[..., 0] > 150
    assert ink.any()
    assert done.mask[ink].all()
    assert done.image.mode == "RGB"


@pytest.mark.parametrize("most", [4095, 65535])
def test_sixteen_bits_stay_sixteen(lung: Image.Image, most: int) -> None:
    image = written(lung, "Ada Ashgrove", (150, 40))
    before = np.rint(np.asarray(image) * (most / 255)).astype(np.uint16)
    done = redact(Image.fromarray(before))
    after = np.asarray(done.image)
    assert done.image.mode == "I;16"
    assert done.mask.any()
    assert np.array_equal(before[done.mask == 0], after[done.mask == 0])
    assert after[done.mask > 0].max() < most * 0.8


def test_what_is_mostly_text_is_quarantined() -> None:
    image = Image.new("L", (400, 300), 20)
    for line in range(11):
        image = written(image, "Ada Ashgrove 1957-07-10 1234", (4, 27 * line), size=26)
    done = redact(image)
    assert done.quarantined
    assert not done.verified


def test_what_is_still_read_in_the_end_is_quarantined(
    lung: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redaction, "filled", lambda pixels, mask: pixels)
    monkeypatch.setattr(redaction, "_is_covered", lambda mask, rectangle, share=0.8: False)
    done = redact(written(lung, "Ada Ashgrove", (150, 40)))
    assert done.quarantined
    assert done.summary() == {
        "engine": done.engine,
        "regions": len(done.boxes),
        "verified": False,
        "quarantined": True,
    }


def test_a_line_shows_what_was_removed_if_that_is_wanted(lung: Image.Image) -> None:
    image = written(lung, "Ada Ashgrove", (150, 40))
    plain, outlined = np.asarray(redact(image).image), redact(image, outline=True)
    changed = plain != np.asarray(outlined.image)
    assert changed.any()
    assert not changed[outlined.mask == 0].any()


def test_boxes_given_by_hand_are_removed(lung: Image.Image) -> None:
    image = written(lung, "Ada", (150, 40))
    done = np.asarray(masked(image, [(140, 30, 220, 80), (-5, -5, 10, 10)]))
    assert done[30:80, 140:220].max() < 200
    assert np.array_equal(done[100:], np.asarray(image)[100:])


def test_the_risk_hardly_moves(demo_images: list[Path]) -> None:
    from xray.risk import RiskModel

    model = RiskModel.load()
    pictures = [decode(path.read_bytes()).pixels for path in demo_images[::5]]
    done = [redact(picture) for picture in pictures]
    moves = [
        abs(model.score(d.image) - model.score(p)) for d, p in zip(done, pictures, strict=True)
    ]
    assert np.mean(moves) < 0.005
    for one in done:
        assert one.verified
        assert one.mask[-94:, 4:100].mean() > 0.8, "the demo's own text"


def run(*arguments: Path | str) -> tuple[int, Any, str]:
    done = subprocess.run(
        [sys.executable, "-m", "xray.redaction", *map(str, arguments)],
        env={"PYTHONPATH": str(ROOT / "plugins"), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def test_the_command_redacts_a_folder(tmp_path: Path, lung: Image.Image, as_bytes: Save) -> None:
    source, target, report = tmp_path / "in", tmp_path / "out", tmp_path / "report.json"
    (source / "deep").mkdir(parents=True)
    image = written(lung, "Ada Ashgrove", (150, 40))
    (source / "deep" / "a b.jpeg").write_bytes(as_bytes(image, comment=b"Ada Ashgrove"))
    (source / "c.png").write_bytes(as_bytes(lung, "PNG"))
    (source / "bad.jpeg").write_bytes(b"text")
    letter = Image.new("L", (400, 300), 20)
    for line in range(11):
        letter = written(letter, "Ada Ashgrove 1957-07-10 1234", (4, 27 * line), size=26)
    (source / "letter.png").write_bytes(as_bytes(letter, "PNG"))
    status, printed, _ = run(source, target, "--report", report)
    assert (status, printed) == (1, None)
    entries = {entry["file"]: entry for entry in json.loads(report.read_text())}
    assert set(entries) == {"deep/a b.jpeg", "c.png", "bad.jpeg", "letter.png"}
    good = entries["deep/a b.jpeg"]
    ((left, top, right, bottom),) = good.pop("boxes")
    assert left < 150 < 280 < right
    assert top < 47 < 62 < bottom
    assert good == {
        "file": "deep/a b.jpeg",
        "output": str(target / "deep" / "a b.jpeg"),
        "engine": redaction.ENGINE,
        "verified": True,
        "quarantined": False,
        "error": None,
    }
    assert entries["bad.jpeg"]["output"] is None
    assert "neither JPEG" in entries["bad.jpeg"]["error"]
    assert entries["letter.png"]["quarantined"]
    assert entries["letter.png"]["output"] is None
    assert not (target / "bad.jpeg").exists()
    assert not (target / "letter.png").exists(), "what may show text is not written"
    assert b"Ashgrove" not in (target / "deep" / "a b.jpeg").read_bytes()


def test_the_command_redacts_a_file(tmp_path: Path, lung: Image.Image, as_bytes: Save) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    source.write_bytes(as_bytes(lung, "PNG"))
    status, printed, _ = run(source, target)
    assert status == 0
    assert printed[0]["error"] is None
    assert np.array_equal(decode(target.read_bytes()).pixels, redact(lung).image)


def test_the_command_makes_png_of_dicom(tmp_path: Path, lung: Image.Image, as_bytes: Save) -> None:
    chest = lung.resize((250, 200))
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    deep = np.asarray(chest).astype(np.uint16) * 257
    for name in ("a.dcm", "b.DCM", "c", "d.dcm"):
        (source / name).write_bytes(dicom(deep))
    (source / "d.png").write_bytes(as_bytes(chest, "PNG"))
    status, printed, _ = run(source, target)
    assert status == 0
    outputs = {entry["file"]: Path(entry["output"]).name for entry in printed}
    assert outputs == {
        "a.dcm": "a.png",
        "b.DCM": "b.png",
        "c": "c.png",
        "d.dcm": "d.dcm.png",
        "d.png": "d.png",
    }
    assert sorted(path.name for path in target.iterdir()) == sorted(outputs.values())
    result = (target / "a.png").read_bytes()
    assert SECRET.encode() not in result
    with Image.open(target / "a.png") as image:
        assert (image.mode, image.size, image.info) == ("I;16", chest.size, {})
    assert run(source / "a.dcm", tmp_path / "one.png")[1][0]["output"] == str(tmp_path / "one.png")


def test_the_command_refuses_a_wrong_call(tmp_path: Path) -> None:
    assert run(tmp_path / "none", tmp_path / "out")[0] == 2
    status, _, said = run(tmp_path, tmp_path / "inside")
    assert status == 2
    assert "overwritten" in said


def test_a_line_is_no_marker_whatever_surrounds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what stands around it, a line may be as compact as a marker, and be read as one."""
    monkeypatch.setattr(redaction, "is_marker", lambda part: True)
    around, line = ((123.0, 60.0), (225.0, 87.0), 0.0), ((127.0, 42.0), (217.0, 25.0), 0.0)
    grey = np.full((300, 400), 60, np.uint8)
    grey[35:75, 100:130] = 255
    finder = redaction.Finder(grey, keep_markers=True)
    finder._take([around])
    assert (finder.mask.any(), finder.kept.any()) == (False, True), "it could be a marker"
    finder = redaction.Finder(grey, keep_markers=True)
    finder._take([around, line])
    assert (finder.mask.any(), finder.kept.any()) == (True, False)


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


def test_a_wider_rectangle_adds_nothing_to_what_covers_its_strokes(lung: Image.Image) -> None:
    """The network draws a wide one around a bar code, and takes tissue into it."""
    large = lung.resize((1000, 800))
    bars = np.array(large)
    bars[300:350, 400:500][:, ::6] = 240
    covered = np.zeros(bars.shape, np.uint8)
    covered[295:355, 395:505] = 1
    around = ((460.0, 330.0), (190.0, 90.0), 0.0)

    def adds(pixels: Any, covered: Any) -> bool:
        return redaction.Finder(np.asarray(pixels), True)._is_plausible(around, covered)

    assert not adds(large, covered), "there is no stroke in it"
    assert adds(bars, np.zeros_like(covered))
    assert not adds(bars, covered)
    faint = written(Image.fromarray(bars), "1234", (512, 315), fill=150, size=26)
    assert adds(faint, covered), "there is more to be read"


def test_the_larger_anatomy_is_no_line_of_text() -> None:
    def cluster(height: float, mark: float) -> strokes.Cluster:
        rectangle = (600.0, 600.0), (700.0, height), 0.0
        return strokes.Cluster(rectangle, 17, 23.0, 7.0, mark, 0.3, 0.25)

    assert redaction.could_be_a_line(cluster(90, 60)), "large letters"
    assert redaction.could_be_a_line(cluster(42, 15)), "lines that run into each other"
    assert not redaction.could_be_a_line(cluster(224, 57)), "ribs"
