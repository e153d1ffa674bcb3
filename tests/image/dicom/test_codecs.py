"""xray.image.dicom.codecs"""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import uid

from tests.support.dicom_files import SECRET, Pixels, embedded, lossless
from xray.errors import ImageError
from xray.image import decode
from xray.image.dicom import codecs


@pytest.fixture
def small(chest: Image.Image) -> Pixels:
    """A grey picture, 88 x 66."""
    return np.asarray(chest.resize((88, 66)))


def frame_of(data: bytes) -> bytes:
    """Return the compressed frame at the end of a DICOM file."""
    return data[data.index(b"\xff\xd8\xff") :]


def test_a_decoder_that_aborts_ends_no_task(
    small: Pixels, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = lossless(small, uid.JPEGLosslessSV1)
    frame = bytearray(frame_of(whole))
    frame[frame.index(b"\xff\xc3") + 4] = 250  # bits of a sample
    capfd.readouterr()
    with pytest.raises(ImageError, match="truncated or damaged"):
        decode(embedded(small, bytes(frame), uid.JPEGLosslessSV1))
    for seed in range(6):
        rng = np.random.default_rng(seed)
        content = bytearray(whole)
        for position in rng.integers(len(whole) - len(frame), len(whole), 8):
            content[position] = rng.integers(0, 256)
        with contextlib.suppress(ImageError):
            decode(bytes(content))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.JPEGLSLossless])
def test_the_reason_of_a_failure_is_logged_without_patient_data(
    small: Pixels, caplog: pytest.LogCaptureFixture, syntax: str
) -> None:
    frame = bytearray(frame_of(lossless(small, syntax)))
    del frame[len(frame) // 2 :]
    frame[-20:] = SECRET.encode() * 4
    with pytest.raises(ImageError, match="truncated or damaged"):
        decode(embedded(small, bytes(frame), syntax))
    place = r"exit code 1: \w+Error in gdcm\.py:\d+ _decode_frame; RuntimeError in base\.py:\d+"
    assert re.search(f"The decoder process failed with {place}", caplog.text)
    assert SECRET not in caplog.text


def test_an_error_that_quotes_the_header_is_logged_without_the_value(
    small: Pixels, caplog: pytest.LogCaptureFixture
) -> None:
    data = embedded(
        small,
        frame_of(lossless(small, uid.JPEGLosslessSV1)),
        uid.JPEGLosslessSV1,
        PhotometricInterpretation=SECRET.upper(),
    )
    with pytest.raises(ImageError, match="truncated or damaged"):
        decode(data)
    assert "ValueError in common.py:" in caplog.text
    assert SECRET.upper() not in caplog.text


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; os.abort()", "SIGABRT: no report"),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL: no report"),
        ("import missing_module", "exit code 1: .*No module named 'missing_module'"),
    ],
)
def test_the_end_of_a_program_is_named(
    small: Pixels,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    program: str,
    reason: str,
) -> None:
    path = tmp_path / "program.py"
    path.write_text(program)
    monkeypatch.setattr(codecs, "PROGRAM", path)
    with pytest.raises(ImageError, match="its decoder failed"):
        decode(lossless(small, uid.JPEGLosslessSV1))
    assert len(caplog.messages) == 1
    assert re.search(f"failed with {reason}", caplog.text, re.DOTALL)


def test_the_program_writes_its_result_to_a_pipe(small: Pixels) -> None:
    values, photometric = codecs.decode(
        *encapsulated(small),
        rows=66,
        columns=88,
        samples_per_pixel=1,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=8,
        bits_stored=8,
        pixel_representation=0,
        number_of_frames=1,
        pixel_keyword="PixelData",
    )
    assert photometric == "MONOCHROME2"
    assert np.array_equal(values, small)


def encapsulated(pixels: Pixels) -> tuple[bytes, str]:
    """Return the encapsulated pixel data of a file, and its transfer syntax."""
    source = pydicom.dcmread(io.BytesIO(lossless(pixels, uid.JPEGLSLossless)))
    return source.PixelData, source.file_meta.TransferSyntaxUID


def test_the_program_imports_nothing_of_the_package() -> None:
    code = f"import runpy, sys; runpy.run_path({str(codecs.PROGRAM)!r}, run_name='program')\n"
    code += "assert not any(name.split('.')[0] == 'xray' for name in sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", code], check=True)
