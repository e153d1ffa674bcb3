"""include/demo and include/servers: the synthetic images, the contact sheet, the processes"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from include.demo.contact_sheet import Row, draw_contact_sheet
from include.demo.verification import expected_results
from include.servers.processes import MARK, Child, StartError, marked, stop_all, wait_until
from tests.support import ROOT
from xray.image import decode
from xray.redaction import redact
from xray.settings import Label, Settings

IMAGES = ROOT / "include" / "demo" / "images"


def test_sixteen_images_of_two_megabytes_at_most(demo_images: list[Path]) -> None:
    assert len(demo_images) == 16
    assert sum(path.stat().st_size for path in demo_images) <= 2_000_000
    assert {path.parent.name for path in demo_images} == {"NORMAL", "PNEUMONIA"}


def test_their_labels_are_right() -> None:
    expected = expected_results(IMAGES, Settings())
    wanted = json.loads((IMAGES / "expected.json").read_text())
    assert {one.key for one in expected} == set(wanted)
    for one in expected:
        assert one.risk is not None
        assert Settings().label(one.risk) is one.label
        assert min(abs(one.risk - 0.6), abs(one.risk - 0.8)) > 0.02, "too near a threshold"
    assert {one.label for one in expected} == set(Label)


def test_the_burned_in_text_lies_in_the_corner(demo_images: list[Path]) -> None:
    for path in demo_images:
        pixels = np.asarray(decode(path.read_bytes()).pixels, int)
        corner = pixels[-100:, :300]
        sharp = np.abs(np.diff(corner, axis=1)) > 60
        assert sharp.sum() > 200, "there is text in the corner"
        redacted = np.asarray(redact(Image.fromarray(pixels.astype(np.uint8))).image, int)
        assert (np.abs(np.diff(redacted[-100:, :300], axis=1)) > 60).sum() < sharp.sum() / 20


def test_the_contact_sheet_shows_every_case(tmp_path: Path, demo_images: list[Path]) -> None:
    data = demo_images[0].read_bytes()
    rows = [
        Row(data, data, data, "Pneumonia", "Pneumonia, risk 93.12%"),
        Row(data, data, None, "Normal", "Normal, risk 3.12%"),
        Row(b"text", None, None, "", "The object is not an image"),
    ]
    draw_contact_sheet(rows, tmp_path / "deep" / "sheet.png")
    with Image.open(tmp_path / "deep" / "sheet.png") as sheet:
        two_lines = sheet.size
        assert sheet.format == "PNG"
    draw_contact_sheet(rows[:2], tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as sheet:
        assert sheet.width == two_lines[0]
        assert sheet.height < two_lines[1]


PARENT = """
import os, sys, time
from pathlib import Path
from include.servers.processes import Child
env = {**os.environ}
child = Child("sleeper", ["sleep", "300"], env=env, log=Path(sys.argv[1]))
print(child.process.pid, flush=True)
time.sleep(300)
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux can signal a child when its parent ends"
)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_child_does_not_outlive_its_parent(tmp_path: Path, how: signal.Signals) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
        MARK: f"t{os.getpid()}",
    }
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "log")],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert child in marked(f"t{os.getpid()}")
        parent.send_signal(how)
        parent.wait()
        wait_until(lambda: not marked(f"t{os.getpid()}"), "the end of the child", seconds=10)


def test_a_child_that_ignores_sigterm_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.servers.processes.STOP_SECONDS", 0.5)
    script = "trap '' TERM; sleep 300 & echo up; wait; sleep 300"
    child = Child(
        "stubborn", ["sh", "-c", script], env=os.environ, log=tmp_path / "log", prints_address=True
    )
    assert child.first_line(10) == "up"
    began = time.monotonic()
    stop_all([child], mark="none")
    assert child.process.returncode == -signal.SIGKILL
    assert time.monotonic() - began < 10


def test_the_error_of_an_ended_child_names_its_log(tmp_path: Path) -> None:
    child = Child("short", ["sh", "-c", "exit 3"], env=os.environ, log=tmp_path / "short.log")
    child.process.wait()
    with pytest.raises(StartError, match=r"status 3; its log is .*short\.log"):
        child.check()
    child.stop(0)
