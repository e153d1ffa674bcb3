"""xray.image.dicom: what a viewer shows is what is scored, and nothing else gets out"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset

from tests.support.dicom_files import (
    NAME,
    SECRET,
    coded,
    dataset,
    dicom,
    embedded,
    lossless,
    written,
)
from xray.errors import ImageError
from xray.image import Format, Limits, Picture, anonymous, decode, encode
from xray.image.caption import print_caption
from xray.redaction import redact
from xray.risk import RiskModel

SAME_RISK = 0.01
Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def chest8(demo_images: list[Path]) -> Pixels:
    """A synthetic chest, 8 bit grey: one whose risk is far from 0 and from 1."""
    path = next(path for path in demo_images if "Dario" in path.name)
    return np.asarray(decode(path.read_bytes()).pixels.convert("L"))


@pytest.fixture(scope="module")
def model() -> RiskModel:
    return RiskModel.load()


def rle(pixels: Pixels) -> bytes:
    source = dataset(pixels)
    source.file_meta = pydicom.dataset.FileMetaDataset()
    source.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    source.compress(uid.RLELossless, generate_instance_uid=False)
    return written(source, uid.RLELossless)


def tabled(pixels: Pixels) -> bytes:
    """12 bits behind a VOI LUT that takes them back to 8."""
    source = dataset(pixels.astype(np.uint16) * 16, BitsStored=12)
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 8]
    table["LUTData"] = pydicom.DataElement(
        0x00283006, "OW", (np.arange(4096) // 16).astype("<u2").tobytes()
    )
    source.VOILUTSequence = [table]
    return written(source)


def twelve(pixels: Pixels) -> npt.NDArray[np.uint16]:
    return np.rint(pixels * (4095 / 255)).astype(np.uint16)


WAYS: dict[str, Callable[[Pixels], bytes]] = {
    "8 bit": dicom,
    "12 bit": lambda p: dicom(twelve(p), BitsStored=12),
    "16 bit": lambda p: dicom(p.astype(np.uint16) * 257),
    "12 bit in 16, unsaid": lambda p: dicom(twelve(p)),
    "MONOCHROME1, 8 bit": lambda p: dicom(255 - p, PhotometricInterpretation="MONOCHROME1"),
    "MONOCHROME1, 12 bit": lambda p: dicom(
        4095 - twelve(p), BitsStored=12, PhotometricInterpretation="MONOCHROME1"
    ),
    "a window": lambda p: dicom(
        p.astype(np.uint16) * 4 + 1000, BitsStored=12, WindowCenter=1510.5, WindowWidth=1021
    ),
    "two windows": lambda p: dicom(
        p.astype(np.uint16) * 4, BitsStored=12, WindowCenter=[510.5, 9], WindowWidth=[1021, 5]
    ),
    "rescaled": lambda p: dicom(
        p.astype(np.int16) - 100,
        RescaleSlope=2,
        RescaleIntercept=50,
        BitsStored=16,
        WindowCenter=105.5,
        WindowWidth=511,
    ),
    "a VOI LUT": tabled,
    "RLE": rle,
    "implicit": lambda p: written(dataset(p), uid.ImplicitVRLittleEndian),
    "JPEG": lambda p: embedded(p, coded(p, "JPEG", quality=95), uid.JPEGBaseline8Bit),
    "JPEG 2000": lambda p: embedded(p, coded(p, "JPEG2000"), uid.JPEG2000Lossless),
    "JPEG Lossless": lambda p: lossless(p, uid.JPEGLosslessSV1),
    "JPEG Lossless, 16 bit": lambda p: lossless(p.astype(np.uint16) * 257, uid.JPEGLossless),
    "JPEG-LS": lambda p: lossless(p, uid.JPEGLSLossless),
    "colour": lambda p: dicom(np.stack([p] * 3, axis=2)),
    "secondary capture": lambda p: dicom(p, SOPClassUID=uid.SecondaryCaptureImageStorage),
    "CR": lambda p: dicom(p, SOPClassUID=uid.ComputedRadiographyImageStorage),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_risk_is_that_of_the_same_picture_as_png(
    chest8: Pixels, model: RiskModel, way: str
) -> None:
    as_png = decode(encode(Picture(Image.fromarray(chest8), Format.PNG)))
    picture = decode(WAYS[way](chest8))
    assert picture.format is Format.DICOM
    assert picture.pixels.size == as_png.pixels.size
    risk = model.score(as_png.eight_bit())
    assert 0.05 < risk < 0.95, "an inverted or clipped picture would be told apart"
    assert abs(model.score(picture.eight_bit()) - risk) < SAME_RISK


def test_an_inverted_picture_would_be_told_apart(chest8: Pixels, model: RiskModel) -> None:
    right, wrong = (model.score(Image.fromarray(pixels)) for pixels in (chest8, 255 - chest8))
    assert abs(right - wrong) > 2 * SAME_RISK


@pytest.mark.parametrize(
    ("way", "mode", "bits"),
    [
        ("8 bit", "L", 8),
        ("12 bit", "I;16", 16),
        ("16 bit", "I;16", 16),
        ("colour", "RGB", 8),
    ],
)
def test_the_annotated_result_is_of_the_same_kind(
    chest8: Pixels, way: str, mode: str, bits: int
) -> None:
    picture = decode(WAYS[way](chest8))
    assert picture.pixels.mode == mode
    drawn = print_caption(picture.pixels, "Pneumonia, risk=93.12%", picture.depth)
    data = encode(Picture(drawn, picture.format, picture.depth, picture.header))
    assert data == encode(Picture(drawn, picture.format, picture.depth, picture.header))
    result = pydicom.dcmread(io.BytesIO(data))
    assert result.SOPClassUID == uid.SecondaryCaptureImageStorage
    assert list(result.ImageType) == ["DERIVED", "SECONDARY"]
    assert (result.Columns, result.Rows) == picture.pixels.size
    assert (result.BitsAllocated, result.BitsStored) == (bits, bits)
    assert str(result.PatientName) == NAME, "it is the same patient's, of the same study"
    assert result.StudyInstanceUID == "1.2.3"
    assert result.SOPInstanceUID != "1.2.3.4"
    assert "PatientComments" not in result
    assert "InstitutionName" not in result
    assert not any(element.tag.is_private for element in result)
    again = decode(data)
    assert np.array_equal(np.asarray(again.pixels), np.asarray(drawn))


def test_another_picture_is_another_instance(chest8: Pixels) -> None:
    picture = decode(dicom(chest8))
    uids = set()
    for text in ("Normal, risk=1.00%", "Unsure, risk=70.00%"):
        drawn = print_caption(picture.pixels, text)
        data = encode(Picture(drawn, Format.DICOM, 8, picture.header))
        uids.add(pydicom.dcmread(io.BytesIO(data)).SOPInstanceUID)
    assert len(uids) == 2


@pytest.mark.parametrize("way", ["8 bit", "12 bit", "colour"])
def test_an_anonymised_one_is_a_bare_png(chest8: Pixels, way: str) -> None:
    source = WAYS[way](chest8)
    assert SECRET.encode() in source
    picture = anonymous(decode(source))
    data = encode(Picture(redact(picture.pixels).image, picture.format, picture.depth))
    assert data.startswith(b"\x89PNG")
    for word in (SECRET, "Ada", "5120", "1948", "1.2.3", "A77"):
        assert word.encode() not in data
    assert Image.open(io.BytesIO(data)).mode == picture.pixels.mode


def test_the_limits_hold_before_a_pixel_is_decoded(chest8: Pixels) -> None:
    data = dicom(chest8)
    with pytest.raises(ImageError, match="the limit max_pixels is 1000"):
        decode(data, limits=Limits(max_pixels=1000))
    frames = dataset(chest8, NumberOfFrames=3)
    frames.PixelData = chest8.tobytes() * 3
    with pytest.raises(ImageError, match="3 frames; the limit max_frames is 2"):
        decode(written(frames), limits=Limits(max_frames=2))
    first = decode(written(frames), limits=Limits(max_frames=3))
    assert np.array_equal(np.asarray(first.pixels), chest8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)
@given(data=st.data(), way=st.sampled_from(["8 bit", "12 bit", "RLE", "JPEG", "a VOI LUT"]))
def test_damage_raises_nothing_else_and_tells_nobody(
    chest: Image.Image, caplog: pytest.LogCaptureFixture, data: st.DataObject, way: str
) -> None:
    content = bytearray(WAYS[way](np.asarray(chest.resize((40, 30)))))
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(132, len(content) - 1))] = data.draw(st.integers(0, 255))
    said: Any = ""
    try:
        picture = decode(bytes(content))
    except ImageError as error:
        said = error
    else:
        assert picture.pixels.mode in ("L", "RGB", "I;16")
    assert SECRET not in f"{said}{caplog.text}"


def test_what_would_become_larger_than_it_says_is_refused(chest: Image.Image) -> None:
    small = np.asarray(chest.resize((40, 30)))
    runs = struct.pack("<16L", 1, 64, *[0] * 14) + b"\x81\0" * 1_000_000
    with pytest.raises(ImageError, match="RLE data is longer"):
        decode(embedded(small, runs, uid.RLELossless))
    whole = dicom(small)
    at = whole.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) * 1_000_000
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    sequence = struct.pack("<HH2sHI", 0x7FE0, 0x0001, b"SQ", 0, 0xFFFFFFFF) + items + end
    with pytest.raises(ImageError, match="damaged"):
        decode(whole[:at] + sequence + whole[at:])


def test_a_decoder_that_ends_its_process_ends_no_task(
    chest: Image.Image, capfd: pytest.CaptureFixture[str]
) -> None:
    small = np.asarray(chest.resize((40, 30)))
    whole = lossless(small, uid.JPEGLosslessSV1)
    frame = bytearray(whole[whole.index(b"\xff\xd8\xff") :])
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
