"""xray.image.dicom.frames"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from pydicom import uid

from tests.support.dicom_files import (
    Pixels,
    compressed,
    dicom,
    embedded,
    left_aligned_lossless,
    rle,
    twelve_bits,
)
from xray.errors import ImageError
from xray.image import decode

EXTENDED = Path(__file__).with_name("twelve_bits.jpg")
"""JPEG Extended with 12 bits, written by libjpeg-turbo 3 at quality 90."""


@pytest.fixture
def small(chest: Image.Image) -> Pixels:
    """A grey picture, 88 x 66."""
    return np.asarray(chest.resize((88, 66)))


def test_a_frame_larger_than_its_header_says_is_refused(small: Pixels) -> None:
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


@pytest.mark.parametrize(
    ("form", "syntax"),
    [("JPEG", uid.JPEGBaseline8Bit), ("JPEG2000", uid.JPEG2000Lossless)],
)
def test_a_jpeg_of_another_size_is_refused(small: Pixels, form: str, syntax: str) -> None:
    frame = compressed(np.zeros((300, 400), np.uint8), form)
    with pytest.raises(ImageError, match="says 88 x 66 pixels, the JPEG inside says 400 x 300"):
        decode(embedded(small, frame, syntax))


@pytest.mark.parametrize(
    "way",
    [
        lambda p: dicom(p << 4, BitsStored=12, HighBit=15),
        lambda p: dicom((p << 4) + 9, BitsStored=12, HighBit=15),
        lambda p: dicom((p << 2) + (3 << 14), BitsStored=12, HighBit=13),
        lambda p: left_aligned_lossless(p << 4, uid.JPEGLosslessSV1),
        lambda p: left_aligned_lossless(p, uid.JPEGLosslessSV1),
        lambda p: left_aligned_lossless(p, uid.JPEGLSLossless),
        lambda p: dicom(p, BitsStored=12, HighBit=15),
        lambda p: dicom(p, BitsStored=12, HighBit=7),
    ],
    ids=[
        "left-aligned",
        "something below",
        "something above",
        "JPEG of 16 bits",
        "JPEG of 12 bits",
        "JPEG-LS of 12 bits",
        "wrong, too high",
        "wrong, too low",
    ],
)
def test_the_significant_bits_are_found(
    small: Pixels, way: Callable[[npt.NDArray[np.uint16]], bytes]
) -> None:
    values = twelve_bits(small)
    values[0, 0] = 4095
    assert np.array_equal(decode(way(values)).pixels, decode(dicom(values, BitsStored=12)).pixels)


def test_signed_values_can_be_left_aligned(small: Pixels) -> None:
    values = small.astype(np.int16) * 16 - 2048
    left, right = (
        decode(dicom(pixels, BitsStored=12, HighBit=high_bit)).pixels
        for pixels, high_bit in ((values * 16, 15), (values, 11))
    )
    assert np.array_equal(left, right)


def test_twelve_bits_of_jpeg_extended_are_decoded() -> None:
    rows, columns = np.indices((72, 88))
    values = np.rint(2048 + 2200 * np.sin(columns / 9) * np.cos(rows / 7)).clip(0, 4095)
    data = embedded(
        values.astype(np.uint16),
        EXTENDED.read_bytes(),
        uid.JPEGExtended12Bit,
        BitsStored=12,
        WindowCenter=2048,
        WindowWidth=4096,
    )
    seen = np.asarray(decode(data).pixels) / 65535 * 4095
    assert np.abs(seen - values).max() < 30


def test_a_cut_frame_is_damage(small: Pixels) -> None:
    jpeg = compressed(small, "JPEG")
    scan = jpeg.index(b"\xff\xda")
    size = jpeg.index(b"\xff\xc0")
    twice = jpeg[:scan] + jpeg[size:]
    for frame, syntax, reason in [
        (jpeg[: size + 6], uid.JPEGBaseline8Bit, "the JPEG header is cut off"),
        (jpeg[:scan], uid.JPEGBaseline8Bit, "the JPEG header is cut off"),
        (jpeg[:2] + jpeg[scan:], uid.JPEGBaseline8Bit, "the JPEG header has 0 sizes"),
        (twice, uid.JPEGBaseline8Bit, "the JPEG header has 2 sizes"),
        (compressed(small, "JPEG2000")[:20], uid.JPEG2000Lossless, "while decoding"),
        (b"\1\0\0\0", uid.RLELossless, "the RLE header is cut off"),
    ]:
        with pytest.raises(ImageError, match=f"truncated or damaged .*{reason}"):
            decode(embedded(small, frame, syntax))


def test_pixel_data_that_ends_early_is_damage(small: Pixels) -> None:
    with pytest.raises(ImageError, match="the pixel data is cut off"):
        decode(rle(small)[:-100])
    with pytest.raises(ImageError, match="truncated or damaged"):
        decode(dicom(small)[:-100])
