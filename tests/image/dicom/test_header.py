"""xray.image.dicom.header"""

from __future__ import annotations

import io

import numpy as np
import pytest
from pydicom import uid

from tests.support.dicom_files import Pixels, dataset, dicom, file_bytes
from xray.errors import ImageError
from xray.image import Limits, decode
from xray.image.dicom.header import read_header


def test_the_limits_hold_before_a_pixel_is_decoded(chest8: Pixels) -> None:
    data = dicom(chest8)
    with pytest.raises(ImageError, match="the limit max_pixels is 1000"):
        decode(data, limits=Limits(max_pixels=1000))
    frames = dataset(chest8, NumberOfFrames=3)
    frames.PixelData = chest8.tobytes() * 3
    with pytest.raises(ImageError, match="3 frames; the limit max_frames is 2"):
        decode(file_bytes(frames), limits=Limits(max_frames=2))
    first = decode(file_bytes(frames), limits=Limits(max_frames=3))
    assert np.array_equal(np.asarray(first.pixels), chest8)


def test_the_file_is_left_where_the_pixel_data_begins(chest8: Pixels) -> None:
    data = file_bytes(dataset(chest8), uid.ImplicitVRLittleEndian)
    source = io.BytesIO(data)
    header = read_header(source, Limits())
    assert (header.height, header.width) == chest8.shape
    assert (header.syntax, header.frames, header.bits) == (uid.ImplicitVRLittleEndian, 1, 8)
    assert data[source.tell() :].startswith(b"\xe0\x7f\x10\x00")


@pytest.mark.parametrize(
    ("high_bit", "below"), [(11, 0), (15, 4), (13, 2), (16, 0), (7, 0), (None, 0)]
)
def test_the_high_bit_counts_where_it_is_possible(
    chest8: Pixels, high_bit: int | None, below: int
) -> None:
    source = dataset(chest8.astype(np.uint16), BitsStored=12, HighBit=high_bit)
    assert read_header(io.BytesIO(file_bytes(source)), Limits()).bits_below == below


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ({"SOPClassUID": uid.CTImageStorage}, "of the class CT Image Storage"),
        ({"SOPClassUID": "1.2.840.1.5120"}, "of the class unknown"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "is raw, for processing"),
        ({"Rows": 0}, "x 0 pixels"),
        ({"Rows": 63}, "x 63 pixels; the shorter side must have at least min_side, 64"),
        ({"BitsAllocated": 32, "BitsStored": 32}, "32 bits per pixel"),
    ],
)
def test_another_object_is_refused(
    chest8: Pixels, elements: dict[str, object], message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        read_header(io.BytesIO(dicom(chest8, **elements)), Limits())
