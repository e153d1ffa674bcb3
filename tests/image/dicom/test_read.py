"""xray.image.dicom: a damaged file is refused, and names nobody."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid

from tests.support.dicom_files import SECRET, VARIANTS, dicom, lossless
from xray.errors import ImageError
from xray.image import decode


@settings(max_examples=120)
@given(data=st.data(), way=st.sampled_from(["8 bit", "12 bit", "RLE", "JPEG", "a VOI LUT"]))
def test_damage_raises_nothing_else_and_names_nobody(
    chest: Image.Image, caplog: pytest.LogCaptureFixture, data: st.DataObject, way: str
) -> None:
    content = bytearray(VARIANTS[way](np.asarray(chest.resize((88, 66)))))
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
    message: Any = ""
    try:
        picture = decode(bytes(content))
    except ImageError as error:
        message = error
    else:
        assert picture.pixels.mode in ("L", "RGB", "I;16")
    # pytest also listens to pydicom's own logger, which passes nothing on.
    assert not logging.getLogger("pydicom").propagate
    logged = [r.getMessage() for r in caplog.records if not r.name.startswith("pydicom")]
    assert SECRET not in f"{message}{logged}"


@pytest.mark.parametrize(
    "function",
    [
        "header.read_dataset",
        "frames.read_dataset",
        "frames.get_decoder",
        "write.pydicom.dcmwrite",
    ],
)
def test_an_error_of_pydicom_is_damage(
    chest: Image.Image, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError(SECRET)

    data = dicom(np.asarray(chest))
    monkeypatch.setattr(f"xray.image.dicom.{function}", fail)
    with pytest.raises(ImageError, match="damaged") as caught:
        decode(data)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "function",
    [
        "read.read_header",
        "read.read_frame",
        "read.display_image",
        "read.study_elements",
        "header.Header",
        "frames.Frame",
    ],
)
def test_a_defect_of_our_own_code_comes_out_as_itself(
    chest: Image.Image, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(f"xray.image.dicom.{function}", fail)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        decode(dicom(np.asarray(chest)))


def test_a_defect_in_the_call_of_the_decoder_process_comes_out_as_itself(
    chest: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    data = lossless(np.asarray(chest), uid.JPEGLosslessSV1)
    monkeypatch.setattr("xray.image.dicom.codecs.np.load", fail)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        decode(data)
