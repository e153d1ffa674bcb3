"""xray.redaction.files, by the command line of xray.redaction.command"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from tests.support import ROOT
from tests.support.dicom_files import SECRET, dicom
from tests.support.text_images import letter, with_text
from xray.image import decode
from xray.image.dicom import Retained
from xray.redaction import ENGINE, redact
from xray.redaction.command import main
from xray.settings import RETAINABLE

Save = Callable[..., bytes]


def run(*arguments: Path | str) -> tuple[int, Any, str]:
    """Run the command; return its status, its report, and what it printed to stderr."""
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
    image = with_text(lung, "Ada Ashgrove", (150, 40))
    (source / "deep" / "a b.jpeg").write_bytes(as_bytes(image, comment=b"Ada Ashgrove"))
    (source / "c.png").write_bytes(as_bytes(lung, "PNG"))
    (source / "bad.jpeg").write_bytes(b"text")
    (source / "letter.png").write_bytes(as_bytes(letter(), "PNG"))
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
        "engine": ENGINE,
        "verified": True,
        "quarantined": False,
        "error": None,
    }
    assert entries["bad.jpeg"]["output"] is None
    assert "neither JPEG" in entries["bad.jpeg"]["error"]
    assert entries["letter.png"]["quarantined"]
    assert entries["letter.png"]["output"] is None
    assert not (target / "bad.jpeg").exists()
    assert not (target / "letter.png").exists(), "a quarantined image is not written"
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
        assert (image.mode, image.size, image.info) == ("L", chest.size, {})
    assert run(source / "a.dcm", tmp_path / "one.png")[1][0]["output"] == str(tmp_path / "one.png")


def test_the_command_can_write_deidentified_dicom(tmp_path: Path, lung: Image.Image) -> None:
    chest = np.asarray(lung.resize((250, 200)))
    secret, source = tmp_path / "secret", tmp_path / "a.dcm"
    secret.write_text("a secret of the tests, long enough")
    source.write_bytes(dicom(chest, Manufacturer="Maker"))
    options = ("--dicom", "--secret-file", secret)
    status, printed, _ = run(*options, source, tmp_path / "out.dcm")
    assert (status, printed[0]["output"]) == (0, str(tmp_path / "out.dcm"))
    data = (tmp_path / "out.dcm").read_bytes()
    assert SECRET.encode() not in data
    assert np.array_equal(decode(data).pixels, redact(Image.fromarray(chest)).image)
    result = pydicom.dcmread(tmp_path / "out.dcm")
    assert result.PatientIdentityRemoved == "YES"
    assert "Manufacturer" not in result
    assert run(*options, "--retain", "device", source, tmp_path / "kept.dcm")[0] == 0
    assert pydicom.dcmread(tmp_path / "kept.dcm").Manufacturer == "Maker"
    status, _, error = run("--dicom", source, tmp_path / "out")
    assert status == 2
    assert "--dicom needs the deployment's secret" in error


def test_the_options_are_those_of_the_header() -> None:
    assert {field.name for field in dataclasses.fields(Retained)} == set(RETAINABLE)


def test_the_command_refuses_a_wrong_call(tmp_path: Path) -> None:
    assert run(tmp_path / "none", tmp_path / "out")[0] == 2
    status, _, error = run(tmp_path, tmp_path / "inside")
    assert status == 2
    assert "overwritten" in error


def test_the_command_can_be_called_from_python(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    assert main([str(source), str(tmp_path / "out")]) == 0
    assert json.loads(capsys.readouterr().out) == []
    (source / "bad.png").write_bytes(b"text")
    assert main([str(source), str(tmp_path / "out")]) == 1
    with pytest.raises(SystemExit) as exit_:
        main([str(source)])
    assert exit_.value.code == 2
