"""xray.web.rendering: pictures that are rendered in another process"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.dicom_files import dicom
from xray.case.pictures import PREVIEW_SIDE, View
from xray.errors import ImageError, TransientError
from xray.settings import Settings
from xray.web import rendering


def test_each_view_of_a_dicom_image(chest: Image.Image) -> None:
    data = dicom(np.asarray(chest))
    pictures = {view: rendering.render(data, view, Settings()) for view in View}
    for view, picture in pictures.items():
        image = Image.open(io.BytesIO(picture))
        assert Image.MIME[image.format or ""] == view.content_type
        assert max(image.size) == min(max(chest.size), PREVIEW_SIDE if view == "preview" else 9999)


def test_the_limits_of_the_deployment_hold(as_bytes: Callable[..., bytes]) -> None:
    data = as_bytes(Image.new("L", (400, 300)), "TIFF")
    assert rendering.render(data, View.FULL, Settings())
    with pytest.raises(ImageError, match="the limit max_pixels is 1000"):
        rendering.render(data, View.FULL, Settings(max_pixels=1000))


@pytest.mark.parametrize("data", [b"", b"%PDF-1.7", b"II*\x00 damaged"])
def test_what_is_no_image_is_refused_in_a_sentence(data: bytes) -> None:
    with pytest.raises(ImageError) as refused:
        rendering.render(data, View.FULL, Settings())
    assert str(refused.value).endswith(".")


def test_the_process_gets_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nenv\n")
    python.chmod(0o700)
    monkeypatch.setattr(rendering.sys, "executable", str(python))
    monkeypatch.setenv("AIRFLOW_VAR_XRAY_PSEUDONYM_SECRET", "a secret of the deployment")
    names = {
        line.partition(b"=")[0]
        for line in rendering.render(b"x", View.FULL, Settings()).splitlines()
    }
    assert names <= {b"PYTHONPATH", b"PATH", b"OMP_NUM_THREADS", b"PWD", b"SHLVL", b"_", b"OLDPWD"}


def test_a_process_that_takes_too_long_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, pid = tmp_path / "python", tmp_path / "pid"
    python.write_text(f"#!/bin/sh\necho $$ > {pid}\nexec tail -f /dev/null\n")
    python.chmod(0o700)
    monkeypatch.setattr(rendering.sys, "executable", str(python))
    monkeypatch.setattr(rendering, "SECONDS", 1)
    with pytest.raises(TransientError, match="within 1 seconds"):
        rendering.render(b"x", View.FULL, Settings())
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_only_some_images_are_rendered_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 0.05)
    for _ in range(rendering.AT_ONCE):
        assert rendering._turns.acquire(timeout=0)
    try:
        with pytest.raises(TransientError, match="Too many"):
            rendering.render(b"x", View.FULL, Settings())
    finally:
        rendering._turns.release(rendering.AT_ONCE)
