"""xray.redaction"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from dicom_files import SECRET, dicom
from xray.image import decode
from xray.redaction import redact

ROOT = Path(__file__).resolve().parents[1]
Save = Callable[..., bytes]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(
    "size", [(640, 480), (300, 100), (301, 100), (300, 101), (20, 20), (90, 700)]
)
def test_nothing_inside_the_box_has_a_part_in_the_result(
    chest: Image.Image, mode: str, size: tuple[int, int]
) -> None:
    image = chest.resize(size).convert(mode)
    done = redact(image)
    ((left, top, right, bottom),) = done.boxes
    assert (left, top, right, bottom) == (0, max(0, size[1] - 100), min(300, size[0]), size[1])
    other = image.copy()
    ImageDraw.Draw(other).rectangle((left, top, right - 1, bottom - 1), fill="white")
    ImageDraw.Draw(other).text((2, top + 2), "Ada Ashgrove", fill="black")
    assert done.image.tobytes() == redact(other).image.tobytes()


@pytest.mark.parametrize("most", [4095, 65535])
def test_sixteen_bits_stay_sixteen(chest: Image.Image, most: int) -> None:
    before = np.rint(np.asarray(chest) * (most / 255)).astype(np.uint16)
    done = redact(Image.fromarray(before))
    after = np.asarray(done.image)
    assert done.image.mode == "I;16"
    assert np.array_equal(before[:380], after[:380])
    assert np.array_equal(before[380:, 300:], after[380:, 300:])
    shallow = np.asarray(redact(chest).image, float) * (most / 255)
    assert np.abs(after - shallow).max() <= most / 255 + 1


def test_nothing_outside_the_box_changes(chest: Image.Image) -> None:
    before, after = np.asarray(chest), np.asarray(redact(chest).image)
    assert np.array_equal(before[:380], after[:380])
    assert np.array_equal(before[380:, 300:], after[380:, 300:])
    assert not np.array_equal(before[380:, :300], after[380:, :300])


def test_the_fill_continues_the_picture() -> None:
    ramp = np.tile(np.linspace(40, 200, 640).astype(np.uint8), (480, 1))
    filled = np.asarray(redact(Image.fromarray(ramp)).image)[400:, 30:280].astype(int)
    assert np.abs(filled - ramp[400:, 30:280]).mean() < 30


def test_it_does_not_claim_to_have_looked(chest: Image.Image) -> None:
    done = redact(chest)
    assert done.engine == "corner-rule"
    assert not done.verified
    assert not done.quarantined


def test_the_risk_hardly_moves(demo_images: list[Path]) -> None:
    from xray.risk import RiskModel

    model = RiskModel.load()
    pictures = [decode(path.read_bytes()).pixels for path in demo_images]
    moves = [abs(model.score(redact(p).image) - model.score(p)) for p in pictures]
    assert np.mean(moves) < 0.02


def run(*arguments: Path | str) -> tuple[int, Any, str]:
    done = subprocess.run(
        [sys.executable, "-m", "xray.redaction", *map(str, arguments)],
        env={"PYTHONPATH": str(ROOT / "plugins"), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def test_the_command_redacts_a_folder(tmp_path: Path, chest: Image.Image, as_bytes: Save) -> None:
    source, target, report = tmp_path / "in", tmp_path / "out", tmp_path / "report.json"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a b.jpeg").write_bytes(as_bytes(chest, comment=b"Ada Ashgrove"))
    (source / "c.png").write_bytes(as_bytes(chest, "PNG"))
    (source / "bad.jpeg").write_bytes(b"text")
    status, printed, _ = run(source, target, "--report", report)
    assert (status, printed) == (1, None)
    entries = {entry["file"]: entry for entry in json.loads(report.read_text())}
    assert set(entries) == {"deep/a b.jpeg", "c.png", "bad.jpeg"}
    good = entries["deep/a b.jpeg"]
    assert good == {
        "file": "deep/a b.jpeg",
        "output": str(target / "deep" / "a b.jpeg"),
        "boxes": [[0, 380, 300, 480]],
        "engine": "corner-rule",
        "verified": False,
        "quarantined": False,
        "error": None,
    }
    assert entries["bad.jpeg"]["output"] is None
    assert "neither JPEG" in entries["bad.jpeg"]["error"]
    assert not (target / "bad.jpeg").exists()
    assert b"Ashgrove" not in (target / "deep" / "a b.jpeg").read_bytes()


def test_the_command_redacts_a_file(tmp_path: Path, chest: Image.Image, as_bytes: Save) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    source.write_bytes(as_bytes(chest, "PNG"))
    status, printed, _ = run(source, target)
    assert status == 0
    assert printed[0]["error"] is None
    assert np.array_equal(decode(target.read_bytes()).pixels, redact(chest).image)


def test_the_command_makes_png_of_dicom(tmp_path: Path, chest: Image.Image, as_bytes: Save) -> None:
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
